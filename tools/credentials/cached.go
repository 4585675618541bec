package credentials

import (
	"context"
	"time"
)

const (
	fetchTimeout = 10 * time.Second
	// maxMargin is how long before its end a credential is replaced, at most; shorter
	// ones are replaced after nine tenths of their time.
	maxMargin = 30 * time.Second
	// againAfter is how often a refused credential is replaced at most: an upstream that
	// takes none cannot be turned against whoever gives them.
	againAfter = time.Second
)

// fetched is a credential as it came.
type fetched struct {
	Credential
	fresh time.Duration // for how long it need not be asked for again; 0: until it expires
}

// cached keeps one credential until it is old, one fetch at a time.
type cached struct {
	source string
	fetch  func(context.Context) (fetched, error)
	turn   chan struct{} // holds what follows
	last   Credential
	until  time.Time // fresh
	asked  time.Time
}

func newCached(source string, fetch func(context.Context) (fetched, error)) *cached {
	return &cached{source: source, fetch: fetch, turn: make(chan struct{}, 1)}
}

// get gives the credential, and fetches it if it is old. One that cannot be fetched
// anew is used until it expires.
func (c *cached) get(ctx context.Context) (Credential, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Credential{}, &Error{c.source, ctx.Err()}
	}
	now := time.Now()
	if c.last.Value != "" && now.Before(c.until) {
		return c.last, nil
	}
	// Whoever asked first may leave; the others still want it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	c.asked = now
	got, err := c.fetch(ctx)
	if err != nil {
		if c.last.Value != "" && now.Before(c.last.Expires) {
			return c.last, nil
		}
		return Credential{}, &Error{c.source, err}
	}
	c.last, c.until = got.Credential, soon(now, got)
	return c.last, nil
}

// soon is when a credential is to be replaced.
func soon(now time.Time, got fetched) time.Time {
	until := now.Add(got.fresh)
	if !got.Expires.IsZero() {
		left := got.Expires.Sub(now)
		if end := got.Expires.Add(-min(maxMargin, left/10)); got.fresh == 0 || end.Before(until) {
			until = end
		}
	}
	return until
}

// refused makes the next get fetch another, unless that was done just now or by somebody else.
func (c *cached) refused(value Secret) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	default: // it is being fetched
		return
	}
	if c.last.Value == value && time.Since(c.asked) >= againAfter {
		c.until, c.last.Expires = time.Time{}, time.Time{}
	}
}

// single is a Source that shows everybody's requests the same credential.
type single struct{ *cached }

// Get implements [Source].
func (s single) Get(ctx context.Context, _ Subject) (Credential, error) { return s.get(ctx) }

// Refused implements [Source].
func (s single) Refused(_ Subject, c Credential) { s.refused(c.Value) }
