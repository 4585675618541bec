package hindsight

import (
	"context"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
)

// recall is what the counters of a draft came to when each call was made: counted over
// what was really permitted then.
type recall struct {
	counters []policy.Counter
	tallies  *policy.Tallies
	at       map[string]map[string]int64 // by call, until it is visited
}

// counting keeps the counters as the history goes on; nil if the draft has none.
func (r *recall) counting(ctx context.Context, from audit.Payloads, draft *policy.Set) func(*calls.Call, audit.Event) error {
	r.counters = draft.Counters()
	if len(r.counters) == 0 {
		return nil
	}
	r.tallies, r.at = policy.NewTallies(), map[string]map[string]int64{}
	return func(c *calls.Call, e audit.Event) error {
		tool, who := c.Intent.Tool, c.Intent.Identity
		if e.ID == c.Opening.ID {
			values := map[string]int64{}
			for _, counter := range r.counters {
				values[counter.Name] = r.tallies.Value(counter, counter.Key(tool, who), e.Time)
			}
			r.at[c.ID] = values
		}
		if e.Type != audit.CallReleased && (e.Type != audit.CallIntent || c.Intent.Decision.Effect != audit.Allow) {
			return nil
		}
		for _, counter := range r.counters {
			if !counter.Counts(tool) {
				continue
			}
			var n int64 = 1
			if counter.Sum != "" {
				args, err := arguments(ctx, from, c)
				if err != nil {
					continue // erased: what it was is not known any more
				}
				if n, err = counter.Adds(args.Value); err != nil {
					continue // what it sums was of another type then
				}
			}
			if err := r.tallies.Add(counter, counter.Key(tool, who), e.Time, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// of is what the counters were for a call.
func (r *recall) of(c *calls.Call) map[string]int64 {
	values := r.at[c.ID]
	delete(r.at, c.ID)
	return values
}
