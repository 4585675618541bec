package broker

import (
	"context"
	"time"

	"github.com/deedbroker/deed/audit"
)

// givesWay finds the call that another replica took under the same key at the same time,
// and to which c gives way: c is closed then, and has not run. Of a log that one replica
// writes there is none. See the package's comment for why at most one of them runs.
func (b *Broker) givesWay(ctx context.Context, c *call, f *flight) (*hold, error) {
	if !b.shared() || f.held || c.intent.IdempotencyKey == "" {
		return nil, nil
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.AckWait)
	defer cancel()
	start := time.Now()
	err := b.CaughtUp(wait)
	if err == nil {
		if first := b.ahead(wait, c.id); first != nil {
			b.repeats.free(c.id)
			b.owe(audit.CallCancelled, f.where, audit.Outcome{Code: audit.CodeRepeated, Reason: "it repeats call " + first.id + ", which another replica took at the same time"})
			return first, nil
		}
	}
	if err == nil && elapsed(start) > b.cfg.AckWait+lateBy { // this process was stopped meanwhile
		err = audit.ErrUncertain
	}
	if err != nil {
		b.repeats.free(c.id)
		b.owe(audit.CallCancelled, f.where, outcomeUnacknowledged())
		return nil, unavailable("call "+c.intent.Tool, c.id, err)
	}
	return nil, nil
}

// ahead is the call that goes before one of this replica's under the same key; nil if none does.
func (b *Broker) ahead(ctx context.Context, id string) *hold {
	for {
		var later *hold
		var changed <-chan struct{}
		for _, h := range b.repeats.rivals(id) {
			c, moved := h.snapshot()
			if h.id < id || !c.Open() {
				return h
			}
			later, changed = h, moved
		}
		if later == nil {
			return nil
		}
		select { // it has given way, or was not aware of this one and runs
		case <-changed:
		case <-ctx.Done():
			return later
		}
	}
}
