package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// follow folds the log as it grows. Whatever happens to held calls happens here, in
// the order of the log, whichever replica wrote it.
func (b *Broker) follow(ctx context.Context) error {
	for rec, err := range b.cfg.Log.Follow(ctx, b.cursor) {
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		if strings.HasSuffix(rec.Position.Log, "/"+audit.TopicCalls) {
			b.observe(ctx, rec)
		}
	}
	return nil
}

// observe folds one record about a call. Calls that are not held pass by with a
// look at their heads: who runs them knows their state.
func (b *Broker) observe(ctx context.Context, rec audit.Record) {
	head, err := audit.Peek(rec.Stored)
	if err != nil {
		b.strange(ctx, rec, err)
		return
	}
	if head.Type == audit.CallIntent {
		b.meetIntent(ctx, rec, head)
		return
	}
	h := b.holds.get(head.Subject)
	if h == nil {
		return
	}
	e, err := rec.Event()
	if err != nil {
		b.strange(ctx, rec, err)
		return
	}
	counted, err := h.apply(e, rec.Position)
	if err != nil {
		b.strange(ctx, rec, err)
	}
	if counted {
		b.react(h, e)
	}
}

// strange reports a record that no honest broker wrote. It is skipped, never dropped.
func (b *Broker) strange(ctx context.Context, rec audit.Record, err error) {
	b.metrics.strange(ctx)
	b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "record does not fit the protocol",
		slog.String("position", rec.Position.String()), slog.Any("error", err))
}

// meetIntent starts to keep a held call, and closes one that was given up.
func (b *Broker) meetIntent(ctx context.Context, rec audit.Record, head audit.Head) {
	var args tools.Arguments
	var key callKey
	if head.Source == b.source {
		f, abandoned := b.flights.meet(head.Subject)
		switch {
		case f == nil:
			return
		case abandoned:
			b.closeAbandoned(ctx, f.call)
			return
		case !f.held:
			return
		}
		defer close(f.folded)
		args, key = f.call.args, f.call.key
	}
	e, err := rec.Event()
	if err != nil {
		b.strange(ctx, rec, err)
		return
	}
	var c calls.Call
	if _, err := c.Apply(e, rec.Position); err != nil {
		b.strange(ctx, rec, err)
		return
	}
	if c.State == calls.Held {
		b.holds.add(c, args, key)
		b.metrics.held(ctx, 1)
	}
}

// react does what an event of a held call asks of this replica.
func (b *Broker) react(h *hold, e audit.Event) {
	switch {
	case e.Type == audit.CallApproval:
		b.consider(h)
	case e.Type == audit.CallReleased && e.Source == b.source:
		b.work.Go(func() { b.runReleased(b.live, h) })
	case e.Type.Closes():
		b.metrics.held(b.live, -1)
	}
}

// consider looks, in the background, whether the votes so far lift the hold. One
// look at a time: a vote that comes meanwhile makes it look again.
func (b *Broker) consider(h *hold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deciding {
		h.again = true
		return
	}
	h.deciding = true
	b.work.Go(func() {
		for {
			b.decideHeld(b.live, h)
			h.mu.Lock()
			if !h.again {
				h.deciding = false
				h.mu.Unlock()
				return
			}
			h.again = false
			h.mu.Unlock()
		}
	})
}

// decideHeld asks the policy of this moment again, with the votes counted, and
// writes what follows. A log that is away is tried again until the hold is over.
func (b *Broker) decideHeld(ctx context.Context, h *hold) {
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		c, _ := h.snapshot()
		if c.State != calls.Held || len(c.Votes) == 0 || time.Now().After(c.Deadline()) {
			return
		}
		t, data, err := b.verdict(ctx, h, c)
		if err == nil && t == "" {
			return // still held
		}
		if err == nil {
			err = b.settle(ctx, c, t, data)
		}
		if err == nil {
			b.settled(ctx, h)
			return
		}
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "held call not decided yet", slog.String("call_id", c.ID), slog.Any("error", err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// settle writes what the votes led to, unless the hold ended meanwhile.
func (b *Broker) settle(ctx context.Context, c calls.Call, t audit.Type, data any) error {
	e, err := b.event(t, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace), data)
	if err != nil {
		return err
	}
	if t == audit.CallReleased && e.Time.After(c.Deadline()) {
		return nil
	}
	_, err = b.append(ctx, e)
	return err
}

// settled waits until what was written is folded, so that the next look sees it.
func (b *Broker) settled(ctx context.Context, h *hold) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		c, changed := h.snapshot()
		if c.State != calls.Held {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// verdict says which event the votes on a held call lead to: none, while it stays held.
func (b *Broker) verdict(ctx context.Context, h *hold, c calls.Call) (audit.Type, any, error) {
	cancel := func(code, reason string, d *audit.Decision) (audit.Type, any, error) {
		return audit.CallCancelled, audit.Outcome{Code: code, Reason: reason, Decision: d}, nil
	}
	args, err := b.arguments(ctx, h, c)
	if errors.Is(err, audit.ErrErased) {
		return cancel(audit.CodeErased, "its arguments have been erased", nil)
	}
	if err != nil {
		return "", nil, err
	}
	t, err := b.cfg.Catalogue.Lookup(c.Intent.Tool)
	if err != nil || t.Digest != c.Intent.Definition {
		return cancel(audit.CodeChanged, "the tool is no longer what it was when it was called", nil)
	}
	d, err := b.decide(t, args, c.Intent.Identity, approvals(c))
	if err != nil {
		return cancel(audit.CodeChanged, "the policy cannot be evaluated on it any more", nil)
	}
	switch d.Effect {
	case audit.Allow:
		r := audit.Release{Decision: d, Digest: c.Intent.Digest}
		for _, v := range c.Votes {
			r.Approvals = append(r.Approvals, v.ID)
		}
		return audit.CallReleased, r, nil
	case audit.Hold:
		return "", nil, nil
	case audit.Deny:
		return cancel(audit.CodeChanged, "the policy denies it now, whatever people say: "+denialText(d), &d)
	default:
		return cancel(audit.CodeChanged, "the policy denies it now", &d)
	}
}

// arguments are the exact arguments of a held call, from memory or from the log.
func (b *Broker) arguments(ctx context.Context, h *hold, c calls.Call) (tools.Arguments, error) {
	h.mu.Lock()
	args := h.args
	h.mu.Unlock()
	if args.Canonical != nil {
		return args, nil
	}
	p, err := b.cfg.Payloads.Payload(ctx, c.Opening.At, audit.PayloadArguments)
	if err != nil {
		return args, fmt.Errorf("read arguments: %w", err)
	}
	if !c.Intent.Arguments.Matches(p) {
		return args, fmt.Errorf("read arguments: %w: they are not what the intent commits to", audit.ErrCorrupt)
	}
	if args, err = tools.ParseArguments(p.Body); err != nil {
		return args, fmt.Errorf("read arguments: %w", err)
	}
	h.mu.Lock()
	h.args = args
	h.mu.Unlock()
	return args, nil
}

// runReleased runs a held call whose first release in the log is this replica's.
func (b *Broker) runReleased(ctx context.Context, h *hold) {
	c, _ := h.snapshot()
	args, err := b.arguments(ctx, h, c)
	if err != nil {
		b.closing(ctx, audit.CallCancelled, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace),
			audit.Outcome{Code: audit.CodeErased, Reason: "its arguments cannot be read"})
		return
	}
	t, err := b.cfg.Catalogue.Lookup(c.Intent.Tool)
	if err != nil || t.Digest != c.Intent.Definition {
		b.closing(ctx, audit.CallCancelled, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace),
			audit.Outcome{Code: audit.CodeChanged, Reason: "the tool changed after its release"})
		return
	}
	answer, fail := b.execute(ctx, running{id: c.ID, domain: c.Domain, intent: &c.Intent, trace: c.Opening.Trace}, t, args.Canonical, nil)
	if fail == nil {
		h.setAnswer(answer)
	}
}

// housekeep closes holds whose time is over, forgets those that ended long ago, and
// writes samples of what was rejected.
func (b *Broker) housekeep(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			b.sampleRejections(ctx, time.Now(), true)
			return nil
		case now := <-tick.C:
			b.expireDue(ctx, now)
			b.sampleRejections(ctx, now, false)
			b.holds.forget(now)
			b.limits.forget()
		}
	}
}

func (b *Broker) expireDue(ctx context.Context, now time.Time) {
	for _, h := range b.holds.open() {
		c, _ := h.snapshot()
		if c.State != calls.Held || !now.After(c.Deadline()) {
			continue
		}
		b.closing(ctx, audit.CallExpired, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace),
			audit.Outcome{Code: audit.CodeExpired, Reason: "nobody decided in time"})
	}
}
