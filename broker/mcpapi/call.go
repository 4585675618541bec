package mcpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
)

const maxName = 256 // bytes of a tool's name, as called

// invocation is one call on its way through the endpoint.
type invocation struct {
	w  http.ResponseWriter
	r  *http.Request
	in *inbound
	m  *message
	s  *session // nil for clients of revision 2026-07-28 and later

	method    string // of MCP
	name      string // upstream.tool
	upstream  string // of an operation
	tool      *tools.Tool
	arguments []byte

	needed, lacks []string // scopes
	related       string   // the task whose result this is
	returned      bool     // with the requestState of a held call

	out *answer
	n   *notifier
}

func (v *invocation) modern() bool { return v.s == nil }

// callTool answers tools/call.
func (h *Handler) callTool(v *invocation) {
	v.name, v.tool = h.resolve(v.in, v.m.call.name)
	v.arguments = v.m.call.arguments
	if f := checkCall(v.r.Header, v.m, v.tool, v.modern()); f != nil {
		h.refuse(v.w, http.StatusBadRequest, v.m, f)
		return
	}
	h.invoke(v)
}

// invoke makes a call for a client, or goes on with one that had asked it something.
func (h *Handler) invoke(v *invocation) {
	if f := checkAnswers(v.m); f != nil {
		h.refuse(v.w, http.StatusBadRequest, v.m, f)
		return
	}
	v.needed = h.cfg.Scopes.needs(v.tool)
	v.lacks = h.cfg.Scopes.lacking(v.in.identity, v.needed)
	v.out = newAnswer(v.w, acceptsEvents(v.r.Header), h.cfg.Limits.WriteTimeout)
	defer v.out.close()
	v.n = &notifier{out: v.out, token: v.m.meta.progressToken, level: v.m.meta.logLevel}
	if v.s != nil {
		v.n.level = h.sessions.level(v.s)
	}
	switch {
	case v.wantsTask(), v.becomesTask():
		h.callAsTask(v)
	case v.modern() && v.m.call.state != nil:
		h.resume(v)
	case v.modern() && canBeAsked(v.m.meta.capabilities):
		h.converse(v)
	default:
		ctx, cancel := v.context(h.cfg.Limits)
		defer cancel(nil)
		if v.s != nil {
			defer v.s.started(string(v.m.id), cancel)()
		}
		req := v.request()
		if v.s != nil && v.out.streams && canBeAsked(v.s.can) {
			req.Asking = tools.Asking{Ask: v.ask, Capabilities: append([]byte(nil), v.s.can...)}
		}
		var shown func() bool
		req.Waiting, shown = h.showing(ctx, v, req.Waiting)
		reply, err := h.run(ctx, v, req)
		if shown() && err == nil && reply.Pending == nil {
			v.over(reply.CallID)
		}
		h.finish(ctx, v, reply, err)
	}
}

// context is that of a call. A client of revision 2026-07-28 cancels a call by leaving
// it; of an older one only the notification for it does.
func (v *invocation) context(l Limits) (context.Context, context.CancelCauseFunc) {
	base := v.r.Context()
	if v.modern() {
		base = context.WithoutCancel(base)
	}
	ctx, cancel := context.WithCancelCause(base)
	ctx, stop := context.WithTimeout(ctx, l.CallTimeout)
	left := func() bool { return true }
	if v.modern() {
		left = context.AfterFunc(v.r.Context(), func() { cancel(broker.ErrLeft) })
	}
	return ctx, func(cause error) {
		left()
		cancel(cause)
		if cause == nil {
			stop()
		}
	}
}

// run has the broker make the call.
func (h *Handler) run(ctx context.Context, v *invocation, req broker.Request) (*broker.Reply, error) {
	if v.method == tools.MethodCall && v.m.call.name == awaitTool {
		v.tool = nil
		return h.await(ctx, v)
	}
	return h.cfg.Caller.Call(ctx, req)
}

// finish answers with what came of the call.
func (h *Handler) finish(ctx context.Context, v *invocation, reply *broker.Reply, err error) {
	switch {
	case err != nil:
		h.finishFailed(ctx, v, err)
	case reply.Pending != nil && v.mayBeTask() && !v.returned && h.finishTask(ctx, v, reply.Pending.CallID):
	case reply.Pending != nil && h.askToWait(v, reply.Pending):
	case reply.Pending != nil && v.method != tools.MethodCall:
		details := pendingOutcome{Status: "pending", Pending: *reply.Pending, Reasons: reasonsOf(reply.Pending.Reasons)}
		v.out.finish(http.StatusOK, failure(v.m.id, &fault{code: codeRefused, public: pendingText(reply.Pending), data: details}))
	case reply.Pending != nil:
		v.out.finish(http.StatusOK, success(v.m.id, h.pendingResult(reply.Pending, v.tool, v.modern())))
	default:
		if v.method == tools.MethodSubscribe {
			_, own := h.ownURI(v.in, v.m.call.uri)
			h.listeners.begin(v.s.watch, resource{v.upstream, own})
		}
		v.out.finish(http.StatusOK, success(v.m.id, h.result(reply, v)))
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

// subject is the caller's token, for upstreams that exchange it: that of the header, which was accepted.
func subject(r *http.Request) credentials.Subject {
	shown, _ := agents.FromRequest(r, "")
	return credentials.Subject{Token: credentials.Secret(shown.Token)}
}

func (v *invocation) request() broker.Request {
	m := v.m
	req := broker.Request{
		Identity: v.in.identity, Subject: subject(v.r), Tool: v.name, Method: v.method, Arguments: v.arguments,
		Client: m.meta.client.String(), Protocol: m.meta.version,
		IdempotencyKey: m.meta.idempotencyKey, Justification: m.meta.justification,
		TraceParent: validTraceParent(m.meta.traceParent),
		LogLevel:    v.n.level,
		LacksScopes: v.lacks,
		NoWait:      v.heldAsks(),
	}
	if req.TraceParent == "" {
		req.TraceParent = validTraceParent(v.r.Header.Get("Traceparent"))
	}
	if v.mayBeTask() {
		req.NoWait, req.TaskIfHeld, req.TaskUntil = true, true, time.Now().Add(broker.MaxTask)
	}
	if v.s != nil {
		req.Client, req.Protocol = v.s.client, v.s.protocol
	}
	if v.n.wantsProgress() {
		req.Waiting = v.n.waiting
	}
	if v.n.wantsAny() {
		req.Notify = v.n.notify
	}
	return req
}

// await is the broker's own tool: it picks up the outcome of a held call.
func (h *Handler) await(ctx context.Context, v *invocation) (*broker.Reply, error) {
	var arguments struct {
		CallID string `json:"call_id"`
	}
	err := jsonv2.Unmarshal(v.m.call.arguments, &arguments, jsonv2.RejectUnknownMembers(true))
	if err != nil || arguments.CallID == "" || len(arguments.CallID) > 64 {
		return nil, &broker.Error{Kind: broker.Invalid, Op: "await", Public: awaitTool + " takes one argument: call_id, as a pending answer gave it"}
	}
	var waiting func(broker.Pending)
	if v.n.wantsProgress() {
		waiting = v.n.waiting
	}
	return h.cfg.Caller.Await(ctx, v.in.identity, arguments.CallID, waiting)
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

// finishFailed answers a call that the broker refused, or that failed. What the
// upstream refused is told in its own words.
func (h *Handler) finishFailed(ctx context.Context, v *invocation, err error) {
	e := broker.AsError(err)
	if e.Kind == broker.Denied && len(v.lacks) > 0 {
		h.insufficient(v, e)
		return
	}
	if e.Kind == broker.Internal {
		h.cfg.Logger.LogAttrs(ctx, slog.LevelError, "call failed", slog.String("call_id", e.CallID), slog.Any("error", err))
	}
	if rpc, ok := errors.AsType[*tools.RPCError](e.Err); ok && e.Kind == broker.Upstream {
		v.out.finish(v.status(rpc.Code), failure(v.m.id, &fault{code: rpc.Code, public: rpc.Message, data: rpc.Data}))
		return
	}
	code, isResult := rpcCode(e.Kind)
	if isResult && v.method == tools.MethodCall {
		v.out.finish(http.StatusOK, success(v.m.id, h.refusalResult(e, v)))
		return
	}
	v.out.finish(v.status(code), failure(v.m.id, &fault{code: code, public: e.Public, data: refusalOf(e)}))
}

// status is the HTTP status that revision 2026-07-28 wants beside a JSON-RPC error.
func (v *invocation) status(code int) int {
	switch {
	case !v.modern():
		return http.StatusOK
	case code == mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case code == mcp.INVALID_PARAMS, code == mcp.INVALID_REQUEST, code == mcp.MISSING_REQUIRED_CLIENT_CAPABILITY:
		return http.StatusBadRequest
	default:
		return http.StatusOK
	}
}

// codeRefused is the JSON-RPC code of a refusal that has no other: of the range that
// is left to servers.
const codeRefused = -32000

// rpcCode is the JSON-RPC code for a kind of error, and whether it is told in the
// result of a tool instead, which models get to read.
func rpcCode(k broker.Kind) (code int, isResult bool) {
	switch k {
	case broker.Invalid, broker.NotFound:
		return mcp.INVALID_PARAMS, false
	case broker.Denied, broker.Lapsed, broker.Conflict, broker.Overloaded, broker.LogUnavailable, broker.Upstream, broker.OutcomeUnknown:
		return codeRefused, true
	case broker.Internal:
		return mcp.INTERNAL_ERROR, false
	default:
		return mcp.INTERNAL_ERROR, false
	}
}
