package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
)

const (
	sendWait    = 20 * time.Second // of one attempt
	firstRetry  = time.Second
	lastRetry   = 2 * time.Minute
	retryFor    = 15 * time.Minute
	maxTogether = 500 // calls in one digest
)

// channel is one way to people, and the one goroutine that uses it.
type channel struct {
	name    string
	to      Channel
	limit   *rate.Limiter
	failing atomic.Int64 // attempts that failed since the last that did not
}

// errStale is a message that says what is not so any more.
var errStale = errors.New("the call's state has changed")

// serve sends what is due on a channel, until ctx is done.
func (n *Notifier) serve(ctx context.Context, c *channel) error {
	select {
	case <-n.ready:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		list, next, bell := n.book.due(c.name, time.Now())
		if len(list) == 0 {
			await(ctx, next, bell)
			continue
		}
		if free := int(c.limit.Tokens()); free < 1 || free < len(list) && len(list) > 1 {
			if c.limit.Wait(ctx) != nil {
				return nil //nolint:nilerr // it is time to stop
			}
			if list, _, _ = n.book.due(c.name, time.Now()); len(list) == 0 {
				continue
			}
			if err := n.tell(ctx, c, list); err != nil {
				return err
			}
			continue
		}
		c.limit.Allow()
		if err := n.tell(ctx, c, list[:1]); err != nil {
			return err
		}
	}
	return nil
}

// await waits until the bell rings, or for a moment.
func await(ctx context.Context, next time.Time, bell <-chan struct{}) {
	var timer <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(time.Until(next))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-bell:
	case <-timer:
	case <-ctx.Done():
	}
}

// tell sends one message, or several as a digest, and notes it. The error is that of the
// file.
func (n *Notifier) tell(ctx context.Context, c *channel, list []pending) error {
	m := n.compose(ctx, c.name, list)
	err := n.try(ctx, c, m, list)
	switch {
	case ctx.Err() != nil || errors.Is(err, errStale):
		return nil //nolint:nilerr // it will be said by whoever runs next, or need not be said
	case err != nil:
		n.cfg.Logger.LogAttrs(ctx, slog.LevelError, "notification not sent", slog.String("channel", c.name),
			slog.String("call_id", list[0].call.ID), slog.Int("calls", len(list)), slog.Any("error", err))
	}
	n.metrics.told(ctx, c.name, list, err)
	return n.note(ctx, c.name, list, err)
}

// try sends a message until the channel takes it, refuses it, or it is too late.
func (n *Notifier) try(ctx context.Context, c *channel, m Message, list []pending) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = firstRetry, lastRetry
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if len(list) == 1 && !n.book.still(list[0].call.ID, list[0].state) {
			return struct{}{}, backoff.Permanent(errStale)
		}
		attempt, cancel := context.WithTimeout(ctx, sendWait)
		defer cancel()
		err := c.to.Send(attempt, m)
		if err == nil {
			c.failing.Store(0)
			return struct{}{}, nil
		}
		c.failing.Add(1)
		n.metrics.failed(ctx, c.name)
		if errors.Is(err, ErrRefused) {
			err = backoff.Permanent(err)
		} else if later, ok := errors.AsType[*LaterError](err); ok {
			err = errors.Join(err, backoff.RetryAfter(int(min(later.After, retryFor)/time.Second)))
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(retryFor))
	return err
}

// note remembers what was said, or that it could not be.
func (n *Notifier) note(ctx context.Context, channel string, list []pending, failure error) error {
	ctx = context.WithoutCancel(ctx) // it has been said
	n.mu.Lock()
	defer n.mu.Unlock()
	changed := map[string]map[string]told{}
	for _, p := range list {
		said, known := n.book.mark(p.call.ID, channel, told{State: p.state, At: time.Now().UTC(), Dead: failure != nil})
		if known {
			changed[p.call.ID] = said
		}
		if failure != nil {
			if err := n.store.bury(ctx, time.Now(), channel, p.call.ID, p.state, clip(visible(failure.Error()), maxLine)); err != nil {
				return err
			}
		}
	}
	return n.store.said(ctx, changed)
}
