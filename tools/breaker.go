package tools

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/deedbroker/deed/tools/credentials"
)

// Defaults of [Breaker].
const (
	DefaultFailures = 5
	DefaultCooldown = 15 * time.Second
)

// Breaker says when calls of an upstream that fails are not sent any more. Failures are
// calls that do not reach it or that it does not answer, not what it answers.
type Breaker struct {
	Failures int           // in a row, until it trips
	Cooldown time.Duration // until one call is let through to try
}

// TrippedError says that an upstream has failed so often that calls are not sent to it for a
// while. It comes with [ErrNotSent].
type TrippedError struct {
	Upstream string
	Retry    time.Duration // when it is tried again
}

// Error names the upstream.
func (e *TrippedError) Error() string {
	return fmt.Sprintf("upstream %s has failed several times in a row; it is tried again in %v", e.Upstream, e.Retry.Round(time.Second))
}

// State is whether an upstream is sent calls.
type State string

// The states of an upstream's breaker.
const (
	StateClosed  State = "closed"    // calls are sent
	StateTrying  State = "half-open" // one is, to see whether it works again
	StateTripped State = "open"      // none are
)

// breaker stops calls to an upstream that does not take or answer them.
type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[Answer]
	name     string
	cooldown time.Duration
	turned   atomic.Int64 // when its state changed last, in nanoseconds; 0: never
}

func newBreaker(name string, b Breaker) *breaker {
	own := &breaker{name: name, cooldown: b.Cooldown}
	own.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[Answer](gobreaker.Settings{
		Name: name, MaxRequests: 1, Timeout: b.Cooldown,
		OnStateChange: func(string, gobreaker.State, gobreaker.State) { own.turned.Store(time.Now().UnixNano()) },
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int64(c.ConsecutiveFailures) >= int64(b.Failures) },
		IsSuccessful:  answered,
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, ErrChanged) },
	})
	return own
}

// turnedAt is when the breaker's state changed last; the zero time if it never did.
func (b *breaker) turnedAt() time.Time {
	if at := b.turned.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// enter lets a call through, to be followed by done with what came of it.
func (b *breaker) enter() (done func(error), err error) {
	done, err = b.Allow()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSent, &TrippedError{b.name, b.cooldown})
	}
	return done, nil
}

func (b *breaker) state() State {
	switch b.State() {
	case gobreaker.StateOpen:
		return StateTripped
	case gobreaker.StateHalfOpen:
		return StateTrying
	case gobreaker.StateClosed:
		return StateClosed
	default:
		return StateClosed
	}
}

// answered reports whether an upstream did its part, whatever it said. What the caller did not
// answer, or a credential that is missing, is not the upstream's failure.
func answered(err error) bool {
	if err == nil || errors.Is(err, ErrUnanswered) || errors.As(err, new(*credentials.Error)) {
		return true
	}
	_, refused := errors.AsType[*RPCError](err)
	return refused
}
