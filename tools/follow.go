package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrDetached is the cause of a context whose owner stops waiting for a call that goes on:
// an upstream that works on it as a task is not told to stop, and can be asked later.
var ErrDetached = errors.New("nobody waits for the call any more, and it goes on")

// followAtLeast is how long a task is asked about at least, however long ago it was made: its
// upstream may have to come back first.
const followAtLeast = time.Minute

// Follower is implemented by upstreams that can tell later what came of a call which they
// work on as a task.
type Follower interface {
	Upstream

	// Follow waits for the end of a task that Call.Began was told of, in this process or in an
	// earlier one. It MUST NOT run the tool, and waits for the upstream if that is away. It
	// returns what Call would, but never an error that wraps ErrNotSent: what is not known is
	// uncertain. If ctx ends, for another reason than ErrDetached, the upstream is told.
	Follow(ctx context.Context, c Call, task json.RawMessage) (Answer, error)
}

// Follow waits for the end of a task that a call of the tool became at a moment. Nothing is run, so
// that it does not matter whether the tool is quarantined or was defined anew. Its time limit
// is that of the call, but it is asked about for a minute at least. Errors are those of
// [Tool.Call] that leave open what was done, and those with which a task ends.
func (t *Tool) Follow(ctx context.Context, c Call, task json.RawMessage, made time.Time) (Answer, error) {
	f, ok := t.entry.upstream.(Follower)
	if !ok {
		return Answer{}, fmt.Errorf("%w: it cannot be asked about tasks", ErrUncertain)
	}
	ctx, limit := limited(ctx, max(t.entry.timeout(t.Definition.Name)-time.Since(made), followAtLeast))
	defer limit.end()
	if c.Ask != nil {
		c.Ask = limit.pausing(c.Ask)
	}
	leave, err := t.entry.occupy(ctx, t.Definition.Name)
	if err != nil {
		return Answer{}, neverUnsent(ctx, err)
	}
	defer leave()
	digest := c.Definition
	c.Tool, c.Method = t.Definition.Name, t.Method
	a, err := t.entry.askAfter(ctx, f, c, task)
	if err == nil && digest == t.Digest {
		err = t.conforms(a)
	}
	if err != nil {
		return Answer{}, neverUnsent(ctx, err)
	}
	return a, nil
}

func (e *entry) askAfter(ctx context.Context, f Follower, c Call, task json.RawMessage) (a Answer, err error) {
	defer e.recovered(ctx, &err)
	return f.Follow(ctx, c, task)
}

// neverUnsent makes an error of what is told about a task say no more than is known: the call
// was sent, long ago.
func neverUnsent(ctx context.Context, err error) error {
	_, refused := errors.AsType[*RPCError](err)
	_, mismatch := errors.AsType[*MismatchError](err)
	if refused || mismatch || errors.Is(err, ErrUnanswered) {
		return err
	}
	if errors.Is(err, ErrNotSent) || !errors.Is(err, ErrUncertain) {
		err = fmt.Errorf("%w: %s", ErrUncertain, err.Error())
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
