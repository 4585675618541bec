// Package builtin makes upstreams of Go functions. The tools that come with Deed
// (packages files and ledger) are made with it, and so can be anyone's.
package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/tools"
)

const invalidParams = -32602 // JSON-RPC 2.0, section 5.1

// Function is one tool.
type Function struct {
	Definition json.RawMessage // an MCP Tool

	// Run does the work. It SHOULD answer its own failures with [Failure]; its errors
	// are those of [tools.Upstream]'s Call. It MUST return soon after ctx is done.
	Run func(ctx context.Context, c tools.Call) (tools.Answer, error)
}

// Upstream offers functions as tools. It is always healthy.
type Upstream struct {
	definitions []json.RawMessage
	functions   map[string]Function
}

var _ tools.Upstream = (*Upstream)(nil)

// New returns an upstream of functions. Their definitions must be valid and their names differ.
func New(functions ...Function) (*Upstream, error) {
	u := &Upstream{functions: make(map[string]Function, len(functions))}
	for _, f := range functions {
		d, err := tools.ParseDefinition(f.Definition)
		if err != nil {
			return nil, fmt.Errorf("make upstream: %w", err)
		}
		if _, ok := u.functions[d.Name]; ok || f.Run == nil {
			return nil, fmt.Errorf("make upstream: tool %q is there twice or does nothing", d.Name)
		}
		u.functions[d.Name] = f
		u.definitions = append(u.definitions, d.Raw)
	}
	return u, nil
}

// Definitions implements [tools.Upstream].
func (u *Upstream) Definitions(context.Context) ([]json.RawMessage, error) {
	return slices.Clone(u.definitions), nil
}

// Call implements [tools.Upstream].
func (u *Upstream) Call(ctx context.Context, c tools.Call) (tools.Answer, error) {
	if err := ctx.Err(); err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	f, ok := u.functions[c.Tool]
	if !ok {
		return tools.Answer{}, &tools.RPCError{Code: invalidParams, Message: "unknown tool"}
	}
	return f.Run(ctx, c)
}

// Run implements [tools.Upstream]: there is nothing to keep alive.
func (u *Upstream) Run(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// Health implements [tools.Upstream].
func (u *Upstream) Health() error { return nil }

// Arguments decodes a call's arguments into v, a pointer to a struct. Member
// names are case-sensitive, and must be known. The error is a [*tools.RPCError].
func Arguments(c tools.Call, v any) error {
	if err := jsonv2.Unmarshal(c.Arguments, v, jsonv2.RejectUnknownMembers(true)); err != nil {
		return &tools.RPCError{Code: invalidParams, Message: "the arguments do not fit the tool's input schema"}
	}
	return nil
}

type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type result struct {
	Content    []content       `json:"content"`
	Structured json.RawMessage `json:"structuredContent,omitempty"`
	IsError    bool            `json:"isError,omitempty"`
}

// Text is the answer that says text.
func Text(text string) tools.Answer { return answer(result{Content: []content{{"text", text}}}) }

// Failure is the answer that the tool did not do it, with a reason that an agent can act on.
func Failure(reason string) tools.Answer {
	return answer(result{Content: []content{{"text", reason}}, IsError: true})
}

// Structured is the answer of v, a struct or map, as structured content and as text.
func Structured(v any) (tools.Answer, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return tools.Answer{}, fmt.Errorf("encode answer: %w", err)
	}
	return answer(result{Content: []content{{"text", string(raw)}}, Structured: raw}), nil
}

func answer(r result) tools.Answer {
	raw, _ := json.Marshal(r) // strings and valid JSON always marshal
	return tools.Answer{Raw: raw, IsError: r.IsError}
}
