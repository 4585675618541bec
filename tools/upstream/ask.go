package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

const (
	maxTurns  = 32          // of one call, in which a server asks
	askedKey  = "deed"      // of a question that came as a request
	busyPause = time.Second // before a server that asks nothing, but to come again, is asked again
)

// head is what is read of a result; more of it is not the broker's business.
type head struct {
	IsError    bool            `json:"isError"`
	ResultType string          `json:"resultType"`
	Task       json.RawMessage `json:"task"` // if one was asked for
	asked
}

// asked is what a server wants to know before it finishes a call (MCP 2026-07-28, SEP-2322).
type asked struct {
	Questions json.RawMessage `json:"inputRequests"`
	State     json.RawMessage `json:"requestState"`
}

// questions reports whether the server wants to be called again before it gives its result.
func (h head) questions() bool {
	return h.ResultType == string(mcp.ResultTypeInputRequired) && len(h.Questions)+len(h.State) > 0
}

func headOf(result json.RawMessage) (head, error) {
	var h head
	if err := jsonv2.Unmarshal(result, &h); err != nil {
		return h, errAnswer
	}
	return h, nil
}

// turn is what a call is sent with, after questions.
type turn struct {
	answers, state json.RawMessage
}

// next gets the caller's answers to what a server asked.
func (s *session) next(ctx context.Context, c tools.Call, a asked) (turn, error) {
	if len(a.Questions) == 0 || string(a.Questions) == "{}" || string(a.Questions) == "null" {
		select {
		case <-time.After(busyPause):
			return turn{state: a.State}, nil
		case <-ctx.Done():
			return turn{}, fmt.Errorf("%w: %w", tools.ErrUnanswered, context.Cause(ctx))
		}
	}
	if c.Ask == nil {
		return turn{}, fmt.Errorf("%w: the caller cannot be asked", tools.ErrUnanswered)
	}
	answers, err := c.Ask(ctx, a.Questions)
	if err != nil {
		return turn{}, fmt.Errorf("%w: %w", tools.ErrUnanswered, withoutRPC(err))
	}
	return turn{answers: answers, state: a.State}, nil
}

// withoutRPC keeps the caller's own error from being taken for the server's.
func withoutRPC(err error) error {
	if _, ok := errors.AsType[*tools.RPCError](err); ok {
		return errors.New("the caller refused")
	}
	return err
}

// asked answers a request of a server of the old revisions. mcp-go waits for at most
// 30 seconds for an answer over HTTP, and people may take longer: it is told
// that there is none, and the link brings it later.
func (s *session) asked(ctx context.Context, request transport.JSONRPCRequest) (*transport.JSONRPCResponse, error) {
	f, ok := ctx.Value(flightKey{}).(*flight)
	if id := relatedTask(request.Params); id != "" {
		f = s.flightOfTask(id)
	} else if !ok {
		f = s.onlyFlight()
	}
	if request.Method == string(mcp.MethodPing) {
		return transport.NewJSONRPCResultResponse(request.ID, json.RawMessage("{}")), nil
	}
	if f == nil || f.asking.Ask == nil {
		return unanswerable(request, "it is not known whom of those who call this is to be asked, or they cannot be asked"), nil
	}
	if !canAnswer(f.asking.Capabilities, request.Method) {
		return unanswerable(request, "the caller does not support "+request.Method), nil
	}
	s.work.Go(func() { s.link.respond(f.flying, s.put(f.flying, f, request)) })
	return nil, nil //nolint:nilnil // what mcp-go takes for an answer that comes by another way
}

func unanswerable(request transport.JSONRPCRequest, why string) *transport.JSONRPCResponse {
	return transport.NewJSONRPCErrorResponse(request.ID, mcp.METHOD_NOT_FOUND, why, nil)
}

// put puts a server's request to the caller, as the only one of its questions.
func (s *session) put(ctx context.Context, f *flight, request transport.JSONRPCRequest) *transport.JSONRPCResponse {
	failed := func(code int, message string) *transport.JSONRPCResponse {
		return transport.NewJSONRPCErrorResponse(request.ID, code, message, nil)
	}
	questions, err := json.Marshal(map[string]any{askedKey: struct {
		Method string `json:"method"`
		Params any    `json:"params,omitempty"`
	}{request.Method, unrelated(request.Params)}})
	if err != nil {
		return failed(mcp.INTERNAL_ERROR, "the request could not be passed on")
	}
	said, err := f.asking.Ask(ctx, questions)
	if rpc, ok := errors.AsType[*tools.RPCError](err); ok {
		return failed(rpc.Code, rpc.Message)
	}
	if err != nil {
		return failed(mcp.REQUEST_INTERRUPTED, "the caller did not answer")
	}
	var answers map[string]json.RawMessage
	if err := jsonv2.Unmarshal(said, &answers); err != nil || len(answers[askedKey]) == 0 {
		return failed(mcp.REQUEST_INTERRUPTED, "the caller did not answer this")
	}
	return transport.NewJSONRPCResultResponse(request.ID, answers[askedKey])
}

// relatedTask is the task that a server's message is about; empty if it is about none.
func relatedTask(params any) string {
	all, _ := params.(map[string]any)
	meta, _ := all["_meta"].(map[string]any)
	related, _ := meta[keyRelatedTask].(map[string]any)
	id, _ := related["taskId"].(string)
	return id
}

// unrelated is params without the server's task, which the caller does not know.
func unrelated(params any) any {
	all, _ := params.(map[string]any)
	meta, _ := all["_meta"].(map[string]any)
	if meta[keyRelatedTask] == nil {
		return params
	}
	kept, rest := maps.Clone(all), maps.Clone(meta)
	delete(rest, keyRelatedTask)
	if kept["_meta"] = rest; len(rest) == 0 {
		delete(kept, "_meta")
	}
	return kept
}

// askable are the capabilities of a caller that have to do with questions, and the broker's own, to
// wait for tasks. Others are between the caller and the broker.
func askable(a tools.Asking) map[string]json.RawMessage {
	kept := map[string]json.RawMessage{"extensions": json.RawMessage(`{"` + tasksExtension + `":{}}`)}
	var all map[string]json.RawMessage
	if err := jsonv2.Unmarshal(a.Capabilities, &all); err != nil || a.Ask == nil {
		return kept
	}
	for _, name := range []string{"elicitation", "sampling", "roots"} {
		if value, ok := all[name]; ok {
			kept[name] = value
		}
	}
	return kept
}

// canAnswer reports whether a caller with these capabilities takes a method.
func canAnswer(capabilities json.RawMessage, method string) bool {
	name, ok := map[string]string{
		string(mcp.MethodElicitationCreate):     "elicitation",
		string(mcp.MethodSamplingCreateMessage): "sampling",
		string(mcp.MethodListRoots):             "roots",
	}[method]
	var all map[string]json.RawMessage
	if err := jsonv2.Unmarshal(capabilities, &all); err != nil {
		return false
	}
	_, declared := all[name]
	return ok && declared
}

// offered are the capabilities that servers of the old revisions get to know of once
// for all callers: whether the one who calls can be asked turns out when it is.
func offered() mcp.ClientCapabilities {
	return mcp.ClientCapabilities{
		Elicitation: &mcp.ElicitationCapability{Form: &struct{}{}, URL: &struct{}{}},
		Sampling:    &mcp.SamplingCapability{},
		Roots: &struct {
			ListChanged bool `json:"listChanged,omitempty"`
		}{},
	}
}
