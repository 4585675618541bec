package toolstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/tools"
)

// The tools that a [Fake] has at first.
const (
	// Echo answers with its argument "text", and sends one notification of progress.
	Echo = "echo"
	// Slow answers after "milliseconds".
	Slow = "slow"
	// Fail answers with an error of the tool's own.
	Fail = "fail"
	// Refuse answers with a JSON-RPC error.
	Refuse = "refuse"
	// Hang does not answer until the call's context ends.
	Hang = "hang"
)

// Handler answers one call of a [Fake]'s tool. It MUST return once ctx is done.
type Handler func(ctx context.Context, c tools.Call) (tools.Answer, error)

// Fake is an upstream within the process. It takes calls only while its Run runs,
// or always if made by [NewStaticFake].
type Fake struct {
	static bool

	mu          sync.Mutex
	definitions []json.RawMessage  // guarded by mu
	handlers    map[string]Handler // guarded by mu
	calls       []tools.Call       // guarded by mu
	health      error              // guarded by mu
	changed     func()             // guarded by mu; nil unless running
	crashed     chan struct{}      // closed by Crash; guarded by mu
	crash       error              // guarded by mu
}

var _ tools.Upstream = (*Fake)(nil)

var errNotRunning = errors.New("the fake does not run")

// NewFake returns a fake with the tools [Echo], [Slow], [Fail], [Refuse] and [Hang].
func NewFake() *Fake {
	f := &Fake{handlers: map[string]Handler{}, crashed: make(chan struct{})}
	f.Handle(Define(Echo, `{"text":{"type":"string"}}`, "text"), echo)
	f.Handle(Define(Slow, `{"milliseconds":{"type":"integer","minimum":0}}`), slow)
	f.Handle(Define(Fail, `{}`), fail)
	f.Handle(Define(Refuse, `{}`), refuse)
	f.Handle(Define(Hang, `{}`), hang)
	return f
}

// NewStaticFake returns a fake that takes calls without running.
func NewStaticFake() *Fake {
	f := NewFake()
	f.static = true
	return f
}

// Define makes a tool definition with the properties and required members of an object schema.
func Define(name, properties string, required ...string) json.RawMessage {
	list, _ := json.Marshal(append([]string{}, required...)) // strings always marshal
	return json.RawMessage(fmt.Sprintf(`{"name":%q,"description":"A tool for tests.","inputSchema":{"type":"object","properties":%s,"required":%s,"additionalProperties":false}}`,
		name, properties, list))
}

// Handle adds a tool, or replaces the one of the same name, and signals the change.
func (f *Fake) Handle(definition json.RawMessage, h Handler) {
	name := nameOf(definition)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.definitions = slices.DeleteFunc(f.definitions, func(d json.RawMessage) bool { return nameOf(d) == name })
	f.definitions = append(f.definitions, definition)
	f.handlers[name] = h
	f.signal()
}

// SetDefinitions replaces what the fake lists, not what it can do, and signals the change.
func (f *Fake) SetDefinitions(definitions ...json.RawMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.definitions = slices.Clone(definitions)
	f.signal()
}

// SetHealth makes Health return err, calls fail with tools.ErrNotSent unless it is nil, and signals the change.
func (f *Fake) SetHealth(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.health = err
	f.signal()
}

// Crash ends Run with err. The calls that run now become uncertain, as when a process dies.
func (f *Fake) Crash(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crash = err
	close(f.crashed)
	f.crashed = make(chan struct{})
}

// Calls are the calls that reached the fake, in order.
func (f *Fake) Calls() []tools.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Definitions implements [tools.Upstream].
func (f *Fake) Definitions(context.Context) ([]json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.trouble(); err != nil {
		return nil, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	return slices.Clone(f.definitions), nil
}

// Call implements [tools.Upstream].
func (f *Fake) Call(ctx context.Context, c tools.Call) (tools.Answer, error) {
	f.mu.Lock()
	if err := errors.Join(ctx.Err(), f.trouble()); err != nil {
		f.mu.Unlock()
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	handler, ok := f.handlers[c.Tool]
	f.calls = append(f.calls, c)
	crashed := f.crashed
	f.mu.Unlock()
	if !ok {
		return tools.Answer{}, &tools.RPCError{Code: -32602, Message: "unknown tool"}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-crashed:
			cancel(errors.New("the fake crashed"))
		case <-done:
		}
	}()
	defer func() { // also when the handler panics
		close(done)
		<-watched
	}()
	a, err := handler(ctx, c)
	if err != nil && ctx.Err() != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
	}
	return a, err
}

// Run implements [tools.Upstream].
func (f *Fake) Run(ctx context.Context, changed func()) error {
	f.mu.Lock()
	f.changed = changed
	crashed := f.crashed
	f.mu.Unlock()
	changed()
	defer func() {
		f.mu.Lock()
		f.changed = nil
		f.mu.Unlock()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-crashed:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.crash
	}
}

// Health implements [tools.Upstream].
func (f *Fake) Health() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble()
}

// trouble is why no call is taken. The caller holds mu.
func (f *Fake) trouble() error {
	if f.health == nil && f.changed == nil && !f.static {
		return errNotRunning
	}
	return f.health
}

// signal tells the registry of a change. The caller holds mu.
func (f *Fake) signal() {
	if f.changed != nil {
		f.changed()
	}
}

func nameOf(definition json.RawMessage) string {
	var d struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(definition, &d) != nil {
		return "" // an invalid definition, which a test may want to list, has no handler
	}
	return d.Name
}

// Text is the answer of a tool that says text.
func Text(text string) tools.Answer { return answer(text, false) }

func answer(text string, isError bool) tools.Answer {
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	raw, _ := json.Marshal(struct { // strings always marshal
		Content []content `json:"content"`
		IsError bool      `json:"isError,omitempty"`
	}{[]content{{"text", text}}, isError})
	return tools.Answer{Raw: raw, IsError: isError}
}

func echo(_ context.Context, c tools.Call) (tools.Answer, error) {
	var arguments struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(c.Arguments, &arguments); err != nil {
		return tools.Answer{}, &tools.RPCError{Code: -32602, Message: "arguments are not an object"}
	}
	if c.Notify != nil {
		c.Notify("notifications/progress", json.RawMessage(`{"progress":1,"total":1}`))
	}
	return Text(arguments.Text), nil
}

func slow(ctx context.Context, c tools.Call) (tools.Answer, error) {
	var arguments struct {
		Milliseconds int64 `json:"milliseconds"`
	}
	if err := json.Unmarshal(c.Arguments, &arguments); err != nil {
		return tools.Answer{}, &tools.RPCError{Code: -32602, Message: "arguments are not an object"}
	}
	timer := time.NewTimer(time.Duration(arguments.Milliseconds) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return Text("done"), nil
	case <-ctx.Done():
		return tools.Answer{}, ctx.Err()
	}
}

func fail(context.Context, tools.Call) (tools.Answer, error) {
	return answer("it did not work", true), nil
}

func refuse(context.Context, tools.Call) (tools.Answer, error) {
	return tools.Answer{}, &tools.RPCError{Code: -32000, Message: "refused", Data: json.RawMessage(`{"why":"because"}`)}
}

func hang(ctx context.Context, _ tools.Call) (tools.Answer, error) {
	<-ctx.Done()
	return tools.Answer{}, ctx.Err()
}
