package tools

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// patience is a time limit that stands still while somebody is asked something.
type patience struct {
	end    func()
	expire func()

	mu     sync.Mutex
	timer  *time.Timer   // guarded by mu
	since  time.Time     // guarded by mu: when the timer was started last
	left   time.Duration // guarded by mu: at since
	pauses int           // guarded by mu: how many questions are open
}

// limited is ctx with a time limit, whose passing is a [context.DeadlineExceeded] as its cause.
func limited(ctx context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &patience{left: limit, since: time.Now(), expire: func() { cancel(context.DeadlineExceeded) }}
	p.timer = time.AfterFunc(limit, p.expire)
	p.end = func() {
		p.mu.Lock()
		p.timer.Stop()
		p.mu.Unlock()
		cancel(context.Canceled)
	}
	return ctx, p
}

type ask = func(context.Context, json.RawMessage) (json.RawMessage, error)

// pausing is f with the limit standing still while it runs.
func (p *patience) pausing(f ask) ask {
	return func(ctx context.Context, questions json.RawMessage) (json.RawMessage, error) {
		p.pause()
		defer p.resume()
		return f(ctx, questions)
	}
}

func (p *patience) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pauses++; p.pauses == 1 && p.timer.Stop() {
		p.left -= time.Since(p.since)
	}
}

func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pauses--; p.pauses == 0 {
		p.since = time.Now()
		p.timer = time.AfterFunc(max(p.left, 0), p.expire)
	}
}
