package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// history is what the log says at the start.
type history struct {
	open   map[string]*calls.Call // every call that is not closed
	ended  []*calls.Call          // held calls that have ended lately, the last maxEnded
	policy string                 // digest of the policies activated last
	pins   map[string]pinned      // by tool, the last
}

type pinned struct {
	digest string
	at     audit.Position
}

// recover folds the log, closes what a crash left open, and puts the rest back in
// its place.
func (b *Broker) recover(ctx context.Context) error {
	h := history{open: map[string]*calls.Call{}, pins: map[string]pinned{}}
	for rec, err := range b.cfg.Log.Read(ctx, b.cursor) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		b.cursor = rec.Next
		if err := h.fold(rec); err != nil {
			b.strange(ctx, rec, err)
		}
	}
	if _, err := b.write(ctx, audit.ReplicaStarted, control(), audit.Started{Version: b.cfg.Version, Key: b.cfg.Key}); err != nil {
		return err
	}
	if err := b.seed(ctx, h.pins); err != nil {
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
	for _, c := range h.open {
		if c.State != calls.Running { // it can be awaited, whatever becomes of it
			b.restore(ctx, c)
			b.metrics.held(ctx, 1)
		}
		if c.State == calls.Held {
			continue
		}
		if err := b.closeUnknown(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// fold reads one record of the past.
func (h *history) fold(rec audit.Record) error {
	switch {
	case strings.HasSuffix(rec.Position.Log, "/"+audit.TopicCalls):
		return h.foldCall(rec)
	case rec.Position.Log == audit.OwnDomain+"/"+audit.TopicControl:
		return h.foldControl(rec)
	default:
		return nil
	}
}

func (h *history) foldCall(rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		return err
	}
	c := h.open[e.Subject]
	if c == nil {
		if e.Type != audit.CallIntent { // of a call that is closed
			return nil
		}
		c = &calls.Call{}
	}
	if _, err := c.Apply(e, rec.Position); err != nil {
		return err
	}
	if c.Open() {
		h.open[c.ID] = c
		return nil
	}
	delete(h.open, c.ID)
	if c.Intent.Decision.Effect == audit.Hold {
		h.ended = append(h.ended, c)
		if len(h.ended) > 2*maxEnded {
			h.ended = append([]*calls.Call(nil), h.ended[maxEnded:]...)
		}
	}
	return nil
}

func (h *history) foldControl(rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		return err
	}
	switch e.Type {
	case audit.PolicyActivated:
		a, err := audit.DataOf[audit.Activation](e)
		h.policy = a.PolicySet
		return err
	case audit.ToolPinned:
		p, err := audit.DataOf[audit.Pin](e)
		h.pins[p.Tool] = pinned{p.Definition, rec.Position}
		return err
	default:
		return nil
	}
}

// restore keeps a held call again. Its arguments tell which repeated request means
// it; if they cannot be read it can still be decided or awaited by its id.
func (b *Broker) restore(ctx context.Context, c *calls.Call) {
	h := b.holds.add(*c, tools.Arguments{}, callKey{})
	args, err := b.arguments(ctx, h, *c)
	if err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "arguments of a held call cannot be read",
			slog.String("call_id", c.ID), slog.Any("error", err))
		return
	}
	in := c.Intent
	b.holds.rekey(h, keyOf(callerOf(in.Identity), in.Tool, in.IdempotencyKey, args.Canonical))
}

// closeUnknown ends a call that may or may not have acted before the crash.
func (b *Broker) closeUnknown(ctx context.Context, c *calls.Call) error {
	out := audit.Outcome{Code: audit.CodeCrash, Reason: "the broker stopped between the act and its record"}
	if _, err := b.write(ctx, audit.CallUnknown, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace), out); err != nil {
		return fmt.Errorf("close call %s as unknown: %w", c.ID, err)
	}
	return nil
}
