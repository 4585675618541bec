package server

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/deedbroker/deed/audit/spool"
)

// watch measures how far this replica's history is behind the log, and what its spool
// holds.
func (s *Server) watch(kept *spool.Spool) error {
	if s.opt.Meter == nil {
		return nil
	}
	records, err := s.opt.Meter.Int64ObservableGauge("deed.history.behind", metric.WithDescription("records of the log that are not in this replica's history yet"))
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	seconds, err := s.opt.Meter.Float64ObservableGauge("deed.history.behind.duration", metric.WithUnit("s"), metric.WithDescription("for how long there have been such records"))
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	spooled, err := s.opt.Meter.Int64ObservableGauge("deed.spool.kept", metric.WithDescription("outcomes that wait for the log to be back"))
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	unwitnessed, err := s.opt.Meter.Float64ObservableGauge("deed.witness.behind.duration", metric.WithUnit("s"), metric.WithDescription("for how long there have been checkpoints that too few witnesses have signed"))
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	_, err = s.opt.Meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		if kept != nil {
			o.ObserveInt64(spooled, int64(kept.Len()))
		}
		if s.witnesses != nil {
			o.ObserveFloat64(unwitnessed, s.witnesses.Behind(time.Now()).Seconds())
		}
		lag, err := s.index.Behind(ctx)
		if err != nil {
			return err
		}
		o.ObserveInt64(records, lag.Records)
		o.ObserveFloat64(seconds, lag.Behind.Seconds())
		return nil
	}, records, seconds, spooled, unwitnessed)
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	return nil
}
