package live

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Stats counts what a hub has done since it was made.
type Stats struct {
	Viewers    int64 // connected now
	Dropped    int64 // cut off because they were too slow
	Unreadable int64 // records that were skipped because they do not parse
	Withheld   int64 // records that were skipped because their call is not known
}

type metrics struct {
	viewers    metric.Int64UpDownCounter
	closed     metric.Int64Counter
	unread     metric.Int64Counter
	unresolved metric.Int64Counter

	stats struct{ viewers, dropped, unreadable, withheld atomic.Int64 }
}

func newMetrics(m metric.Meter) (*metrics, error) {
	var x metrics
	var errs [4]error
	x.viewers, errs[0] = m.Int64UpDownCounter("deed.live.viewers", metric.WithDescription("people who watch the live stream"))
	x.closed, errs[1] = m.Int64Counter("deed.live.closed", metric.WithDescription("streams that ended, by close code"))
	x.unread, errs[2] = m.Int64Counter("deed.live.unreadable", metric.WithDescription("records that no viewer got because they do not parse"))
	x.unresolved, errs[3] = m.Int64Counter("deed.live.withheld", metric.WithDescription("records that a viewer did not get because their call is not known"))
	return &x, errors.Join(errs[:]...)
}

func (x *metrics) opened(ctx context.Context) {
	x.stats.viewers.Add(1)
	x.viewers.Add(ctx, 1)
}

func (x *metrics) ended(ctx context.Context, code int) {
	x.stats.viewers.Add(-1)
	x.viewers.Add(ctx, -1)
	x.closed.Add(ctx, 1, metric.WithAttributes(attribute.Int("code", code)))
}

func (x *metrics) tooSlow() { x.stats.dropped.Add(1) }

func (x *metrics) unreadable(ctx context.Context) {
	x.stats.unreadable.Add(1)
	x.unread.Add(ctx, 1)
}

func (x *metrics) withheld(ctx context.Context) {
	x.stats.withheld.Add(1)
	x.unresolved.Add(ctx, 1)
}

// Stats returns the counters as they are now.
func (h *Hub) Stats() Stats {
	s := &h.metrics.stats
	return Stats{Viewers: s.viewers.Load(), Dropped: s.dropped.Load(), Unreadable: s.unreadable.Load(), Withheld: s.withheld.Load()}
}
