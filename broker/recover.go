package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// recover folds the log, closes what a crash of this replica left open, and puts the
// rest back in its place. What others left open is theirs, or that of whoever buries them. It can be broken off anywhere: the next one finds what is left.
func (b *Broker) recover(ctx context.Context) error {
	if err := b.drainSpool(ctx); err != nil {
		return fmt.Errorf("write what was spooled: %w", err)
	}
	h := newHistory(b.foldPast, func(rec audit.Record, err error) { b.strange(ctx, rec, err) })
	h.repeatable = b.repeatable
	for rec, err := range b.cfg.Log.Read(ctx, b.cursor) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		b.cursor = rec.Next
		h.fold(rec)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if h.movedTo != "" {
		return fmt.Errorf("%w: its last event says that it goes on in %s; start the broker there", ErrMoved, h.movedTo)
	}
	b.unfinished = b.keeping.left()
	if err := b.followKey(); err != nil {
		return err
	}
	if err := b.write(ctx, audit.ReplicaStarted, control(), audit.Started{Version: b.cfg.Version, Key: b.key()}); err != nil {
		return err
	}
	if key := b.key(); key != "" { // of a new log, it is the first
		if err := b.sealKeys.begin(key, time.Now()); err != nil {
			return err
		}
	}
	if err := b.newStatementKey(ctx, time.Now()); err != nil {
		return err
	}
	if err := b.seed(ctx, h.pins); err != nil {
		return err
	}
	if err := b.recount(ctx, b.cfg.Policies.Set().Counters()); err != nil {
		return err
	}
	if err := b.recordPolicies(ctx, h.policy); err != nil {
		return err
	}
	for _, c := range h.ended {
		if time.Since(c.Closing.Time) < keepFor {
			b.restore(ctx, c)
		}
	}
	for _, c := range h.kept {
		b.restoreRepeat(c)
	}
	for _, c := range h.unknown {
		b.bar(*c, nil)
	}
	for _, o := range h.open {
		if c := h.folded(o); c != nil && c.State == calls.Running && !o.kept {
			b.bars.begin(o)
		}
	}
	tasks := b.recoverTasks(ctx)
	for _, c := range h.left() {
		if t, ok := tasks[c.ID]; ok && c.State != calls.Held && !b.another(runner(c)) {
			b.takeUp(ctx, c, t)
			delete(tasks, c.ID)
			continue
		}
		if err := b.resume(ctx, c); err != nil {
			return err
		}
	}
	for id := range tasks { // whose calls are closed, or another's
		b.forgetTask(ctx, id)
	}
	if b.shared() {
		b.others.start(b.cursor, h.running(b.source))
	}
	return nil
}

// resume takes up a call that was left open: it is held again, or closed as unknown if
// it was this replica's to run.
func (b *Broker) resume(ctx context.Context, c *calls.Call) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("close call %s: %w", c.ID, err)
	}
	if c.State != calls.Running { // it can be awaited, whatever becomes of it
		b.restore(ctx, c)
		b.metrics.held(ctx, 1)
	}
	if kept := c.Intent.IdempotencyKey != "" || !c.Intent.TaskUntil.IsZero() || b.within(c.Intent.Tool) > 0; kept {
		b.restoreRepeat(c)
	}
	if c.State == calls.Held || b.another(runner(c)) {
		return nil
	}
	if err := b.write(ctx, audit.CallUnknown, b.aboutCall(*c), outcomeCrash()); err != nil {
		return fmt.Errorf("close call %s as unknown: %w", c.ID, err)
	}
	b.bar(*c, nil) // from now on, not only once it is read back
	return nil
}

// runner is the replica that runs the call, if it is not held.
func runner(c *calls.Call) string {
	if c.State == calls.Released {
		return c.Releasing.Source
	}
	return c.Opening.Source
}

// restore keeps a held call again. Its arguments tell which repeated request means
// it; if they cannot be read it can still be decided or awaited by its id.
func (b *Broker) restore(ctx context.Context, c *calls.Call) {
	h := b.holds.add(*c, atHand{}, false)
	if !c.Open() && time.Since(c.Closing.Time) > SameCallFor {
		return
	}
	b.rekey(ctx, h, *c)
}

// rekey finds out which requests mean a held call.
func (b *Broker) rekey(ctx context.Context, h *hold, c calls.Call) {
	args, err := b.made(ctx, c)
	if errors.Is(err, errRedacted) {
		return // then none is known to mean it
	}
	if err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "arguments of a held call cannot be read",
			slog.String("call_id", c.ID), slog.Any("error", err))
		return
	}
	b.holds.rekey(h, keyOf(c.Intent, args))
}

// left are the calls that are open at the end of the log, in the order of their intents.
func (h *history) left() []*calls.Call {
	var left []*calls.Call
	for _, o := range h.open {
		if c := h.folded(o); c != nil && c.Open() {
			left = append(left, c)
		}
	}
	slices.SortFunc(left, byOpening)
	return left
}

func byOpening(a, b *calls.Call) int {
	return cmp.Or(cmp.Compare(a.Opening.At.Log, b.Opening.At.Log), cmp.Compare(a.Opening.At.Index, b.Opening.At.Index))
}

// running are the calls at the end of the log that other replicas than this one were
// permitted at once, and have not closed. It is asked after left.
func (h *history) running(own string) []*opened {
	var running []*opened
	for _, o := range h.open {
		if c := o.call; c != nil && c.State == calls.Running && o.head.Source != own {
			running = append(running, o)
		}
	}
	return running
}
