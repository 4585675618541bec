package mcpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

const maxQuestions = 64 // of one session, or of one call, that are open at once

var errTooMany = errors.New("too many questions are open")

// capabilityOf names the capability that a client has who can be asked by method.
func capabilityOf(method string) string {
	switch method {
	case string(mcp.MethodElicitationCreate):
		return "elicitation"
	case string(mcp.MethodSamplingCreateMessage):
		return "sampling"
	case string(mcp.MethodListRoots):
		return "roots"
	default:
		return ""
	}
}

// canBeAsked reports whether a client's capabilities have any to do with questions.
func canBeAsked(capabilities jsontext.Value) bool {
	return declares(capabilities, "elicitation") || declares(capabilities, "sampling") || declares(capabilities, "roots")
}

func declares(capabilities jsontext.Value, name string) bool {
	if len(capabilities) <= len("{}") || name == "" {
		return false
	}
	var all map[string]jsontext.Value
	if err := jsonv2.Unmarshal(capabilities, &all); err != nil {
		return false
	}
	return all[name].Kind() == '{'
}

// ask puts an upstream's questions to a client of the revisions with sessions: as
// requests on the stream that the call is answered on.
func (v *invocation) ask(ctx context.Context, questions json.RawMessage) (json.RawMessage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.r.Context(), cancel)() //nolint:contextcheck // a client that has left does not answer
	r := newReader(questions)
	answers := []byte{'{'}
	err := r.members(nil, func(key string) error {
		question, err := r.value()
		if err != nil {
			return err
		}
		answer, err := v.askOne(ctx, question)
		if err != nil {
			return err
		}
		if len(answers) > 1 {
			answers = append(answers, ',')
		}
		answers = append(append(appendText(answers, key), ':'), answer...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask client: %w", err)
	}
	return append(answers, '}'), nil
}

func (v *invocation) askOne(ctx context.Context, question jsontext.Value) (jsontext.Value, error) {
	var q struct {
		Method string         `json:"method"`
		Params jsontext.Value `json:"params"`
	}
	if err := jsonv2.Unmarshal(question, &q); err != nil {
		return nil, err
	}
	if !declares(v.s.can, capabilityOf(q.Method)) {
		return nil, &tools.RPCError{Code: mcp.METHOD_NOT_FOUND, Message: "the client does not support " + q.Method}
	}
	id, answered, done := v.s.question()
	if id == "" {
		return nil, errTooMany
	}
	defer done()
	b := append(make([]byte, 0, len(question)+64), `{"jsonrpc":"2.0","id":"`+id+`","method":`...)
	b = appendText(b, q.Method)
	switch {
	case v.related != "":
		b = append(append(b, `,"params":`...), related(q.Params, v.related)...)
	case q.Params != nil:
		b = append(append(b, `,"params":`...), q.Params...)
	}
	v.out.send(append(b, '}'))
	select {
	case m := <-answered:
		return answerOf(m)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// answerOf is the result of a client's response, or its error.
func answerOf(m *message) (jsontext.Value, error) {
	if m.failed == nil {
		return m.result, nil
	}
	var e mcp.JSONRPCErrorDetails
	if err := json.Unmarshal(m.failed, &e); err != nil {
		return nil, err
	}
	return nil, &tools.RPCError{Code: e.Code, Message: e.Message}
}

// question opens a question; its id is empty when too many are open. Call done at its end.
func (n *session) question() (id string, answered <-chan *message, done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.asked) >= maxQuestions {
		return "", nil, func() {}
	}
	n.asks++
	id = "deed-" + strconv.Itoa(n.asks)
	answer := make(chan *message, 1)
	n.asked[id] = answer
	return id, answer, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.asked, id)
	}
}

// answer takes a client's response to a question of its session. Others are ignored.
func (n *session) answer(m *message) {
	var id string
	if err := jsonv2.Unmarshal(m.id, &id); err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if answered, ok := n.asked[id]; ok {
		delete(n.asked, id)
		answered <- m // it has room for one, and gets only one
	}
}
