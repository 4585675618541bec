package tools

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Tool is one tool as the registry knows it at one moment. It is never modified: a
// change makes another Tool.
type Tool struct {
	Upstream string
	Domain   string // the unit of permission and retention that the upstream belongs to
	Definition

	// Method is the MCP method that runs it: [MethodCall], or that of an operation
	// which the upstream takes beside its tools.
	Method string

	// Finding says why the tool is quarantined; empty if it can be called.
	Finding string

	wire   string
	schema *jsonschema.Schema // nil where the finding says why
	output *jsonschema.Schema // nil where answers are not checked
	entry  *entry
}

// Name is the tool's name in policies, events and for people: upstream.tool.
func (t *Tool) Name() string { return QualifiedName(t.Upstream, t.Definition.Name) }

// WireName is the tool's name to models, unique in the registry: see [WireName].
func (t *Tool) WireName() string { return t.wire }

// Validate checks arguments against the tool's input schema. Its error is a
// [*ValidationError], or a [*QuarantinedError] for a tool whose schema cannot be used.
func (t *Tool) Validate(a Arguments) error {
	if t.schema == nil {
		return &QuarantinedError{Tool: t}
	}
	if err := t.schema.Validate(any(a.Value)); err != nil {
		return validationError(err)
	}
	return nil
}

// Call runs the tool; c.Tool, c.Method and c.Definition are filled in. It waits for one of the
// upstream's slots and at most the tool's time limit, which does not pass
// while the caller is asked something. Its error is an [*RPCError], a [*MismatchError], or wraps
// [ErrNotSent] or [ErrUncertain], as [Upstream] says; running out of time wraps
// ErrUncertain as well as context.DeadlineExceeded. Nothing is sent when the
// tool is quarantined or no longer defined as in t, when too many calls run or when its upstream keeps
// failing: the error then wraps ErrNotSent, and [ErrChanged], a [*QuarantinedError], [ErrBusy] or a
// [*TrippedError].
func (t *Tool) Call(ctx context.Context, c Call) (Answer, error) {
	if t.Finding != "" {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, &QuarantinedError{Tool: t})
	}
	start := time.Now()
	a, err := t.call(ctx, c)
	if err == nil {
		err = t.conforms(a)
	}
	if told := t.entry.registry.options.OnCall; told != nil {
		told(ctx, Called{Upstream: t.Upstream, Took: time.Since(start), Answer: a, Err: err})
	}
	if err != nil {
		return Answer{}, err
	}
	return a, nil
}

// call sends a call, within every limit.
func (t *Tool) call(ctx context.Context, c Call) (Answer, error) {
	ctx, limit := limited(ctx, t.entry.timeout(t.Definition.Name))
	defer limit.end()
	if c.Ask != nil {
		c.Ask = limit.pausing(c.Ask)
	}
	leave, err := t.entry.occupy(ctx, t.Definition.Name)
	if err != nil {
		return Answer{}, err
	}
	defer leave()
	if ctx.Err() != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, context.Cause(ctx))
	}
	if !t.current() {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotSent, ErrChanged)
	}
	done, err := t.entry.breaker.enter()
	if err != nil {
		return Answer{}, err
	}
	c.Tool, c.Method, c.Definition, c.AsTask = t.Definition.Name, t.Method, t.Digest, t.TakesTasks()
	a, err := t.entry.call(ctx, c)
	done(err)
	return a, err
}

// current reports whether the registry still holds t as it is.
func (t *Tool) current() bool {
	now, err := t.entry.registry.Lookup(t.Name())
	return err == nil && now.Digest == t.Digest
}

// call is the upstream's Call with its errors, and panics, made to fit the contract.
func (e *entry) call(ctx context.Context, c Call) (Answer, error) {
	a, err := e.upstreamCall(ctx, c)
	if err == nil {
		return a, nil
	}
	if _, refused := errors.AsType[*RPCError](err); refused || errors.Is(err, ErrNotSent) || errors.Is(err, ErrUnanswered) {
		return Answer{}, err
	}
	if !errors.Is(err, ErrUncertain) {
		err = fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return Answer{}, err
}

func (e *entry) upstreamCall(ctx context.Context, c Call) (a Answer, err error) {
	defer e.recovered(ctx, &err)
	return e.upstream.Call(ctx, c)
}
