package broker

import (
	"context"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

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

// expireDue closes what nobody decided in time. A log that is away ends it until the next tick.
func (b *Broker) expireDue(ctx context.Context, now time.Time) {
	for ctx.Err() == nil {
		h := b.holds.overdue(now)
		if h == nil {
			return
		}
		c, _ := h.snapshot()
		if c.State != calls.Held {
			continue
		}
		where := b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace)
		out := audit.Outcome{Code: audit.CodeExpired, Reason: "nobody decided in time"}
		if err := b.write(ctx, audit.CallExpired, where, out); err != nil {
			b.holds.postpone(h, c.Deadline())
			b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "expiry not recorded yet", slog.String("call_id", c.ID), slog.Any("error", err))
			return
		}
	}
}
