package notify

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type metrics struct{ sent, failures, dead metric.Int64Counter }

func newMetrics(m metric.Meter, b *book) (*metrics, error) {
	var x metrics
	var errs [4]error
	x.sent, errs[0] = m.Int64Counter("deed.notify.sent", metric.WithDescription("notifications that a channel took, by channel and state of the call"))
	x.failures, errs[1] = m.Int64Counter("deed.notify.failures", metric.WithDescription("attempts that failed, by channel"))
	x.dead, errs[2] = m.Int64Counter("deed.notify.dead", metric.WithDescription("notifications that were given up, by channel"))
	_, errs[3] = m.Int64ObservableGauge("deed.notify.followed", metric.WithDescription("held calls that people are told of"),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(b.waiting()))
			return nil
		}))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return &x, nil
}

func (x *metrics) told(ctx context.Context, channel string, list []pending, failure error) {
	for _, p := range list {
		if failure != nil {
			x.dead.Add(ctx, 1, metric.WithAttributes(attribute.String("channel", channel)))
			continue
		}
		x.sent.Add(ctx, 1, metric.WithAttributes(attribute.String("channel", channel), attribute.String("state", string(p.state))))
	}
}

func (x *metrics) failed(ctx context.Context, channel string) {
	x.failures.Add(ctx, 1, metric.WithAttributes(attribute.String("channel", channel)))
}
