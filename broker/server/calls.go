package server

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deedbroker/deed/tools"
)

// upstreamMetrics are how upstreams fare. Their labels are names of the configuration.
type upstreamMetrics struct {
	duration metric.Float64Histogram
	failures metric.Int64Counter
}

// watchUpstreams measures calls of upstreams, and whether they are up.
func (s *Server) watchUpstreams() error {
	m := s.opt.Meter
	if m == nil {
		return nil
	}
	var x upstreamMetrics
	var errs [5]error
	x.duration, errs[0] = m.Float64Histogram("deed.upstream.call.duration", metric.WithUnit("s"), metric.WithDescription("of calls of an upstream, waiting for their turn included, by outcome"))
	x.failures, errs[1] = m.Int64Counter("deed.upstream.call.failures", metric.WithDescription("calls that an upstream did not take or answer, or answered against its own schema, by outcome"))
	up, err := m.Int64ObservableGauge("deed.upstream.up", metric.WithDescription("1 while an upstream is ready, else 0"))
	errs[2] = err
	state, err := m.Int64ObservableGauge("deed.upstream.breaker", metric.WithDescription("0: calls are sent to the upstream; 1: one is, to try; 2: none are"))
	errs[3] = err
	if errs[0] == nil && errs[1] == nil {
		s.upstreams.Store(&x)
	}
	_, errs[4] = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, u := range s.registry.Status() {
			label := metric.WithAttributes(attribute.String("upstream", u.Upstream))
			ready := int64(0)
			if u.Err == nil {
				ready = 1
			}
			o.ObserveInt64(up, ready, label)
			o.ObserveInt64(state, breakerState(u.State), label)
		}
		return nil
	}, up, state)
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	return nil
}

func breakerState(s tools.State) int64 {
	switch s {
	case tools.StateTripped:
		return 2
	case tools.StateTrying:
		return 1
	case tools.StateClosed:
		return 0
	default:
		return 0
	}
}

// called measures a call that ended.
func (s *Server) called(ctx context.Context, c tools.Called) {
	x := s.upstreams.Load()
	if x == nil {
		return
	}
	outcome, failed := outcomeOf(c)
	labels := metric.WithAttributes(attribute.String("upstream", c.Upstream), attribute.String("outcome", outcome))
	x.duration.Record(ctx, c.Took.Seconds(), labels)
	if failed {
		x.failures.Add(ctx, 1, labels)
	}
}

// outcomeOf sorts calls by what came of them; failed tells whether it is the upstream's fault.
func outcomeOf(c tools.Called) (outcome string, failed bool) {
	_, refused := errors.AsType[*tools.RPCError](c.Err)
	_, tripped := errors.AsType[*tools.TrippedError](c.Err)
	_, mismatch := errors.AsType[*tools.MismatchError](c.Err)
	switch {
	case c.Err == nil && c.Answer.IsError:
		return "tool_error", false
	case c.Err == nil:
		return "ok", false
	case refused:
		return "refused", false
	case mismatch:
		return "mismatch", true
	case tripped:
		return "tripped", false
	case errors.Is(c.Err, tools.ErrBusy):
		return "busy", false
	case errors.Is(c.Err, context.DeadlineExceeded):
		return "timeout", true
	case errors.Is(c.Err, tools.ErrNotSent):
		return "not_sent", true
	default:
		return "uncertain", true
	}
}
