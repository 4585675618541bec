package tools

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrBusy says that too many calls run at once. It comes with [ErrNotSent].
var ErrBusy = errors.New("too many calls at once")

func (o *Options) negative() bool {
	bad := o.Timeout < 0 || o.Concurrency < 0 || o.Breaker.Failures < 0 || o.Breaker.Cooldown < 0
	for _, t := range o.Tools {
		bad = bad || t.Timeout < 0 || t.Concurrency < 0
	}
	return bad
}

func (o *Options) complete() {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Concurrency == 0 {
		o.Concurrency = DefaultConcurrency
	}
	if o.Breaker.Failures == 0 {
		o.Breaker.Failures = DefaultFailures
	}
	if o.Breaker.Cooldown == 0 {
		o.Breaker.Cooldown = DefaultCooldown
	}
}

// timeout is how long a call of a tool may take.
func (e *entry) timeout(tool string) time.Duration {
	if own := e.options.Tools[tool].Timeout; own > 0 {
		return own
	}
	return e.options.Timeout
}

// occupy takes a slot of the tool, if it has some of its own, and one of the upstream.
func (e *entry) occupy(ctx context.Context, tool string) (leave func(), err error) {
	own := e.toolSlots[tool] // nil: no limit
	if own != nil {
		if err := take(ctx, own); err != nil {
			return nil, err
		}
	}
	if err := take(ctx, e.slots); err != nil {
		if own != nil {
			<-own
		}
		return nil, err
	}
	return func() {
		<-e.slots
		if own != nil {
			<-own
		}
	}, nil
}

func take(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}: // even if ctx has ended: whoever follows a task then has something to say about it
		return nil
	default:
	}
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w: %w", ErrNotSent, ErrBusy, context.Cause(ctx))
	}
}
