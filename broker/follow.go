package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// errFollowEnded is a log's that stopped telling what is new.
var errFollowEnded = errors.New("the log ended")

// follow folds the log as it grows. Whatever happens to held calls happens here, in
// the order of the log, whichever replica wrote it.
func (b *Broker) follow(ctx context.Context) error {
	for rec, err := range b.cfg.Log.Follow(ctx, b.cursor) {
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		switch domain, topic, _ := audit.SplitLog(rec.Position.Log); {
		case topic == audit.TopicCalls:
			b.observe(ctx, rec)
		case domain == audit.OwnDomain && topic == audit.TopicControl:
			if err := b.observeControl(ctx, rec); err != nil {
				return fmt.Errorf("follow log: %w", err)
			}
		}
		if b.shared() {
			b.others.passed(rec)
		}
	}
	if ctx.Err() == nil { // a broker that sees nothing any more must not go on
		return fmt.Errorf("follow log: %w", errFollowEnded)
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
	if b.another(head.Source) {
		b.others.hear(head.Source)
	}
	b.count(ctx, rec, head)
	if head.Type == audit.CallIntent {
		b.meetIntent(ctx, rec, head)
		b.meetRepeatable(ctx, rec, head)
		return
	}
	if head.Type == audit.CallReconciled {
		defer b.meetReconciled(ctx, rec, head)
	}
	h := b.tracked(head.Subject)
	if h == nil {
		b.meetUntracked(ctx, rec, head)
		b.meetEnd(head)
		return
	}
	e, err := rec.Event()
	if err != nil {
		b.strange(ctx, rec, err)
		return
	}
	b.work.add() // so that whoever saw the change finds what it leads to under way
	defer b.work.done()
	counted, err := h.apply(e, rec.Position)
	if err != nil {
		b.strange(ctx, rec, err)
	}
	if counted {
		b.react(ctx, h, e)
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
	if head.Source != b.source {
		held := bytes.Contains(rec.Stored, holdMark) && b.keep(ctx, rec, atHand{}, false)
		if !held && b.shared() {
			b.others.begin(&opened{intent: rec, head: head, plain: true})
		}
		return
	}
	f, abandoned := b.flights.meet(head.Subject)
	switch {
	case f == nil:
		b.meetFormer(ctx, rec)
		return
	case abandoned:
		b.owe(audit.CallCancelled, f.where, outcomeUnacknowledged())
		return
	case !f.held:
		return
	}
	defer close(f.folded)
	if !b.keep(ctx, rec, f.atHand, true) {
		b.holds.free(f.caller)
	}
}

// meetFormer takes up a call whose intent was on its way when this replica died, and came to
// stand in the log only after the log was read anew. It is held, or nobody runs it.
func (b *Broker) meetFormer(ctx context.Context, rec audit.Record) {
	if !b.shared() {
		return // what one process wrote is there when the next one opens the log
	}
	head, err := audit.PeekEvent(rec.Stored)
	if err != nil || !head.Time.Before(b.opened) || b.keep(ctx, rec, atHand{}, false) {
		return
	}
	e, err := rec.Event()
	var c calls.Call
	if err == nil {
		_, err = c.Apply(e, rec.Position)
	}
	if err != nil {
		b.strange(ctx, rec, err)
		return
	}
	b.owe(audit.CallUnknown, b.aboutCall(c), outcomeCrash())
}

// meetEnd notes that a call which was not held is over. One of this replica's that
// another closes was closed in its place.
func (b *Broker) meetEnd(head audit.Head) {
	if !b.shared() {
		return
	}
	if head.Source != b.source && head.Type == audit.CallUnknown && b.flights.flying(head.Subject) {
		b.halt()
	}
	b.others.end(head)
}

// keep starts to keep a call if it is held. It reports whether it is.
func (b *Broker) keep(ctx context.Context, rec audit.Record, k atHand, reserved bool) bool {
	e, err := rec.Event()
	if err != nil {
		b.strange(ctx, rec, err)
		return false
	}
	var c calls.Call
	if _, err := c.Apply(e, rec.Position); err != nil {
		b.strange(ctx, rec, err)
		return false
	}
	if c.State != calls.Held {
		return false
	}
	b.holds.add(c, k, reserved)
	b.metrics.held(ctx, 1)
	return true
}

// react does what an event of a held call asks of this replica.
func (b *Broker) react(ctx context.Context, h *hold, e audit.Event) {
	if e.Type == audit.CallReleased {
		b.countReleased(ctx, h, e)
	}
	switch {
	case (e.Type == audit.CallApproval || e.Type == audit.CallEdited) && b.another(e.Source):
		b.holds.lookAgain(h, time.Now().Add(courtesy)) // the replica that took the vote acts on it
	case e.Type == audit.CallApproval, e.Type == audit.CallEdited:
		b.consider(h)
	case e.Type == audit.CallReleased && e.Source == b.source:
		b.work.Go(func() { b.runReleased(b.live, h) })
	case e.Type.Closes():
		if c, _ := h.snapshot(); e.Type == audit.CallUnknown && b.another(e.Source) && c.Releasing.Source == b.source {
			b.halt() // it was closed in the place of this replica
		}
		b.ended(ctx, h)
	}
}

// ended notes that a call which is tracked is over.
func (b *Broker) ended(ctx context.Context, h *hold) {
	c, _ := h.snapshot()
	if c.Closing.Type == audit.CallUnknown {
		b.bar(c, nil)
	} else { // a task that was followed is over
		b.bars.lift(c.ID)
	}
	b.repeats.end(c)
	if c.Intent.Decision.Effect == audit.Hold {
		b.holds.end(h)
		b.metrics.held(ctx, -1)
		return
	}
	b.meetEnd(audit.Head{ID: c.Closing.ID, Type: c.Closing.Type, Source: c.Closing.Source, Subject: c.ID})
}
