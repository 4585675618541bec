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
	var swept time.Time
	for {
		select {
		case <-ctx.Done():
			b.sampleRejections(ctx, time.Now(), true)
			b.sumUp(ctx, time.Now(), true)
			return nil
		case now := <-tick.C:
			b.expireDue(ctx, now)
			for _, h := range b.holds.toLookAt(now) {
				b.consider(h)
			}
			b.sampleRejections(ctx, now, false)
			b.sumUp(ctx, now, false)
			b.holds.forget(now)
			b.repeats.forget(now)
			b.limits.forget()
			b.denied.forget(now)
			b.granted.book.Forget(now.Add(-keepGrants))
			b.renewStatementKey(ctx, now)
			b.rotateOld(ctx, now)
			if now.Sub(swept) >= sweepEvery {
				swept = now
				b.closeRevoked()
			}
		}
	}
}

// courtesy is how long the replicas leave an expiry to that which took the call, and a
// vote to that which took the vote: all of them would come to the same, and only the
// first counts.
const courtesy = 2 * time.Second

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
		if late := c.Deadline().Add(courtesy); b.another(c.Opening.Source) && now.Before(late) {
			b.holds.postpone(h, late)
			continue
		}
		where := b.aboutCall(c)
		out := audit.Outcome{Code: audit.CodeExpired, Reason: "nobody decided in time"}
		if err := b.write(ctx, audit.CallExpired, where, out); err != nil {
			b.holds.postpone(h, c.Deadline())
			b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "expiry not recorded yet", slog.String("call_id", c.ID), slog.Any("error", err))
			return
		}
	}
}
