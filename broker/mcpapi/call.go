package mcpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

const maxName = 256 // bytes of a tool's name, as called

// callTool answers tools/call. s is nil for clients of revision 2026-07-28 and later.
func (h *Handler) callTool(w http.ResponseWriter, r *http.Request, in *inbound, m *message, s *session) {
	name, t := h.resolve(in, m.call.name)
	if f := checkCall(r.Header, m, t, s == nil); f != nil {
		h.refuse(w, http.StatusBadRequest, m, f)
		return
	}
	needed := h.cfg.Scopes.needs(t)
	lacks := h.cfg.Scopes.lacking(in.identity, needed)
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Limits.CallTimeout)
	defer cancel()
	if s != nil {
		defer s.started(string(m.id), cancel)()
	}
	out := newAnswer(w, acceptsEvents(r.Header), h.cfg.Limits.WriteTimeout)
	defer out.close()
	n := &notifier{out: out, token: m.meta.progressToken, level: m.meta.logLevel}
	if s != nil {
		n.level = h.sessions.level(s)
	}

	var reply *broker.Reply
	var err error
	if m.call.name == awaitTool {
		reply, err = h.await(ctx, in, m, n)
		t = nil
	} else {
		req := request(r, in, m, s, name, n)
		req.LacksScopes = lacks
		reply, err = h.cfg.Caller.Call(ctx, req)
		if e := broker.AsError(err); err != nil && len(lacks) > 0 && e.Kind == broker.Denied {
			h.insufficient(w, r, in, m.id, needed, e)
			return
		}
	}
	modern := s == nil
	switch {
	case err != nil:
		h.finishFailed(ctx, out, m, err, t, modern)
	case reply.Pending != nil:
		out.finish(http.StatusOK, success(m.id, h.pendingResult(reply.Pending, t, modern)))
	default:
		out.finish(http.StatusOK, success(m.id, h.result(reply, modern)))
	}
}

func checkCall(header http.Header, m *message, t *tools.Tool, modern bool) *fault {
	if m.call.name == "" || len(m.call.name) > maxName {
		return invalidParams("params.name must have 1 to 256 bytes")
	}
	if !modern {
		return nil
	}
	if f := checkModern(header, m); f != nil {
		return f
	}
	return checkParamHeaders(header, m, t)
}

// resolve gives the qualified name of what a client calls name, and the tool if there is
// one. A name under which no tool is listed is never that of a tool: it is passed on
// for the record of the refusal.
func (h *Handler) resolve(in *inbound, name string) (string, *tools.Tool) {
	if in.upstream != "" {
		qualified := tools.QualifiedName(in.upstream, name)
		t, err := h.cfg.Tools.Lookup(qualified)
		return qualified, foundTool(t, err)
	}
	t, err := h.cfg.Tools.ByWire(name)
	if t := foundTool(t, err); t != nil {
		return t.Name(), t
	}
	if upstream, tool, ok := strings.Cut(name, "__"); ok {
		qualified := tools.QualifiedName(upstream, tool)
		if t, err := h.cfg.Tools.Lookup(qualified); foundTool(t, err) == nil {
			return qualified, nil
		}
	}
	return tools.QualifiedName("", name), nil
}

func foundTool(t *tools.Tool, err error) *tools.Tool {
	if q, ok := errors.AsType[*tools.QuarantinedError](err); ok {
		return q.Tool
	}
	return t
}

func request(r *http.Request, in *inbound, m *message, s *session, name string, n *notifier) broker.Request {
	req := broker.Request{
		Identity: in.identity, Tool: name, Arguments: m.call.arguments,
		Client: m.meta.client.String(), Protocol: m.meta.version,
		IdempotencyKey: m.meta.idempotencyKey,
		TraceParent:    validTraceParent(m.meta.traceParent),
	}
	if req.TraceParent == "" {
		req.TraceParent = validTraceParent(r.Header.Get("Traceparent"))
	}
	if s != nil {
		req.Client, req.Protocol = s.client, s.protocol
	}
	if n.wantsProgress() {
		req.Waiting = n.waiting
	}
	if n.wantsAny() {
		req.Notify = n.notify
	}
	return req
}

// await is the broker's own tool: it picks up the outcome of a held call.
func (h *Handler) await(ctx context.Context, in *inbound, m *message, n *notifier) (*broker.Reply, error) {
	var arguments struct {
		CallID string `json:"call_id"`
	}
	err := jsonv2.Unmarshal(m.call.arguments, &arguments, jsonv2.RejectUnknownMembers(true))
	if err != nil || arguments.CallID == "" || len(arguments.CallID) > 64 {
		return nil, &broker.Error{Kind: broker.Invalid, Op: "await", Public: awaitTool + " takes one argument: call_id, as a pending answer gave it"}
	}
	var waiting func(broker.Pending)
	if n.wantsProgress() {
		waiting = n.waiting
	}
	return h.cfg.Caller.Await(ctx, in.identity, arguments.CallID, waiting)
}

// refuse answers a message that was not acted upon with a JSON-RPC error.
func (h *Handler) refuse(w http.ResponseWriter, status int, m *message, f *fault) {
	out := newAnswer(w, false, h.cfg.Limits.WriteTimeout)
	defer out.close()
	out.finish(status, failure(m.id, f))
}

// failure is the JSON-RPC response with an error.
func failure(id jsontext.Value, f *fault) []byte {
	if id == nil {
		id = jsontext.Value("null")
	}
	b := append(append([]byte(`{"jsonrpc":"2.0","id":`), id...), `,"error":`...)
	return append(marshalInto(b, mcp.NewJSONRPCErrorDetails(f.code, f.public, f.data)), '}')
}

// finishFailed answers a call that the broker refused, or that failed.
func (h *Handler) finishFailed(ctx context.Context, out *answer, m *message, err error, t *tools.Tool, modern bool) {
	e := broker.AsError(err)
	if e.Kind == broker.Internal {
		h.cfg.Logger.LogAttrs(ctx, slog.LevelError, "call failed", slog.String("call_id", e.CallID), slog.Any("error", err))
	}
	code, isResult := rpcCode(e.Kind)
	if isResult {
		out.finish(http.StatusOK, success(m.id, h.refusalResult(e, t, modern)))
		return
	}
	status := http.StatusOK
	if modern && code == mcp.INVALID_PARAMS {
		status = http.StatusBadRequest
	}
	out.finish(status, failure(m.id, &fault{code: code, public: e.Public, data: refusalOf(e)}))
}

// rpcCode is the JSON-RPC code for a kind of error, unless it is told in a result,
// which models get to read.
func rpcCode(k broker.Kind) (code int, isResult bool) {
	switch k {
	case broker.Invalid, broker.NotFound:
		return mcp.INVALID_PARAMS, false
	case broker.Denied, broker.Lapsed, broker.Conflict, broker.Overloaded, broker.LogUnavailable, broker.Upstream, broker.OutcomeUnknown:
		return 0, true
	case broker.Internal:
		return mcp.INTERNAL_ERROR, false
	default:
		return mcp.INTERNAL_ERROR, false
	}
}
