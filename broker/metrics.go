package broker

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deedbroker/deed/audit"
)

// metrics are the broker's instruments. Their labels are bounded: no name that an
// agent chooses is among them.
type metrics struct {
	duration metric.Float64Histogram
	ack      metric.Float64Histogram
	holds    metric.Int64UpDownCounter
	odd      metric.Int64Counter
	rejected metric.Int64Counter
	limited  metric.Int64Counter
	drafted  metric.Int64Counter
	drafting metric.Float64Histogram

	labels sync.Map // of all measurements so far: making a set costs more than measuring
}

func newMetrics(m metric.Meter) (*metrics, error) {
	var errs [8]error
	var x metrics
	x.duration, errs[0] = m.Float64Histogram("deed.call.duration", metric.WithUnit("s"),
		metric.WithDescription("from a call's arrival to its answer, by outcome"))
	x.ack, errs[1] = m.Float64Histogram("deed.log.ack.duration", metric.WithUnit("s"),
		metric.WithDescription("until the log acknowledged an event, by type"),
		metric.WithExplicitBucketBoundaries(.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5))
	x.holds, errs[2] = m.Int64UpDownCounter("deed.holds.open", metric.WithDescription("calls waiting for people"))
	x.odd, errs[3] = m.Int64Counter("deed.log.strange", metric.WithDescription("records that no honest broker wrote"))
	x.rejected, errs[4] = m.Int64Counter("deed.token.rejected", metric.WithDescription("tokens that did not verify, by kind"))
	x.limited, errs[5] = m.Int64Counter("deed.call.limited", metric.WithDescription("requests refused because one caller makes too many"))
	x.drafted, errs[6] = m.Int64Counter("deed.policy.shadow", metric.WithDescription("decisions that a draft of the policies was asked about too, by what was decided and what it would have been"))
	x.drafting, errs[7] = m.Float64Histogram("deed.policy.shadow.duration", metric.WithUnit("s"), metric.WithDescription("that asking the draft took"),
		metric.WithExplicitBucketBoundaries(.000005, .00001, .000025, .00005, .0001, .00025, .0005, .001, .0025, .005, .01))
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return &x, nil
}

func (x *metrics) called(ctx context.Context, c *call, err error) {
	outcome := "ok"
	if err != nil {
		outcome = AsError(err).Kind.String()
	}
	x.duration.Record(ctx, time.Since(c.start).Seconds(), x.labeled(attribute.String("outcome", outcome), attribute.String("domain", c.domain)))
}

func (x *metrics) appended(ctx context.Context, t audit.Type, took time.Duration, err error) {
	x.ack.Record(ctx, took.Seconds(), x.labeled(attribute.String("type", string(t)), attribute.Bool("ok", err == nil)))
}

func (x *metrics) shadowed(ctx context.Context, d *audit.Decision, took time.Duration) {
	x.drafted.Add(ctx, 1, x.labeled(attribute.String("decided", string(d.Effect)), attribute.String("draft", string(d.Shadow.Effect))))
	x.drafting.Record(ctx, took.Seconds())
}

// labeled is the option of a measurement with these two labels.
func (x *metrics) labeled(a, b attribute.KeyValue) metric.MeasurementOption {
	key := [2]attribute.KeyValue{a, b}
	if known, ok := x.labels.Load(key); ok {
		return known.(metric.MeasurementOption)
	}
	option := metric.WithAttributeSet(attribute.NewSet(a, b))
	x.labels.Store(key, option)
	return option
}

func (x *metrics) held(ctx context.Context, n int64) { x.holds.Add(ctx, n) }

func (x *metrics) strange(ctx context.Context) { x.odd.Add(ctx, 1) }
