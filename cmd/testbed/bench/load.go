package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// warmUp is how many calls each connection makes before anything is measured.
const warmUp = 20

// load is one way of asking a subject.
type load struct {
	generation  generation
	connections int
	time        time.Duration
	calls       int // in all connections together; 0: as many as time allows
}

// total is what all measurements of one situation found together.
type total struct {
	calls     int
	elapsed   time.Duration
	cpu       time.Duration // until the subject had nothing left to do
	later     time.Duration // of it, after the last answer
	latencies []time.Duration
	rssStart  int64 // bytes, before the first measurement
	rssEnd    int64 // after the last
}

// measure puts a load on the subject and adds what it found.
func (t *total) measure(ctx context.Context, s *subject, l load) (err error) {
	wires := make([]*wire, 0, l.connections)
	defer func() {
		for _, w := range wires {
			err = errors.Join(err, w.close())
		}
	}()
	for range l.connections {
		w, err := dial(ctx, s, l.generation)
		if err != nil {
			return err
		}
		wires = append(wires, w)
	}
	return measured(ctx, t, s, wires, l)
}

// caller makes one call after the other.
type caller interface {
	call() error
	close() error
}

// measured adds what callers find of a subject, whose process is looked at, or if it is nil of others.
func measured[C caller](ctx context.Context, t *total, s *subject, callers []C, l load) (err error) {
	if _, err := drive(ctx, callers, l.connections*warmUp, 0); err != nil {
		return err
	}
	if s == nil {
		return timed(ctx, t, callers, l)
	}
	if t.calls == 0 {
		if t.rssStart, err = residentBytes(s.pid); err != nil {
			return err
		}
	}
	if err := charged(ctx, t, s, callers, l); err != nil {
		return err
	}
	t.rssEnd, err = residentBytes(s.pid)
	return err
}

// timed adds how long calls take.
func timed[C caller](ctx context.Context, t *total, callers []C, l load) error {
	start := time.Now()
	latencies, err := drive(ctx, callers, l.calls, l.time)
	t.elapsed += time.Since(start)
	t.calls += len(latencies)
	t.latencies = append(t.latencies, latencies...)
	return err
}

// charged adds that, and the CPU time of a process.
func charged[C caller](ctx context.Context, t *total, s *subject, callers []C, l load) error {
	before, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	if err := timed(ctx, t, callers, l); err != nil {
		return err
	}
	during, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	after, err := settled(ctx, s, during)
	if err != nil {
		return err
	}
	t.cpu += after - before
	t.later += after - during
	return nil
}

// How long a subject has to be idle to be done with what calls left behind, and how
// long it may take.
const (
	idleLook   = 100 * time.Millisecond
	idleTime   = 800 * time.Millisecond
	settleTime = 10 * time.Minute
)

// settled waits until the subject has nothing left to do, so that what it put off is
// counted, and does not run while others are measured. It returns its CPU time.
func settled(ctx context.Context, s *subject, used time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(idleLook)
	defer tick.Stop()
	for idle := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait until the subject is idle: %w", ctx.Err())
		case <-tick.C:
		}
		now, err := cpuTime(s.pid)
		if err != nil {
			return 0, err
		}
		if idle += idleLook; now-used > cpuTick {
			idle = 0
		}
		used = now
		if idle < idleTime {
			continue
		}
		if left, err := s.left(ctx); err != nil || left == 0 {
			return used, err
		}
		idle = 0
	}
}

// behindMetric is how many records are not in a broker's history yet.
const behindMetric = "deed_history_behind"

// left is what a subject has put off, which it may be waiting for without being busy.
func (s *subject) left(ctx context.Context) (float64, error) {
	if s.metrics == "" {
		return 0, nil
	}
	text, err := fetch(ctx, &http.Client{Timeout: settleTime}, s.metrics)
	if err != nil {
		return 0, fmt.Errorf("ask what is left to do: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && (name == behindMetric || strings.HasPrefix(name, behindMetric+"{")) {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("ask what is left to do: %s has no %s", s.metrics, behindMetric)
}

// drive makes so many calls by all callers together, or, if calls is 0, as many as
// time allows, and returns how long each took.
func drive[C caller](ctx context.Context, callers []C, calls int, limit time.Duration) ([]time.Duration, error) {
	var taken atomic.Int64
	deadline := time.Now().Add(limit)
	more := func() bool {
		if calls > 0 {
			return taken.Add(1) <= int64(calls)
		}
		return time.Now().Before(deadline)
	}
	each := make([][]time.Duration, len(callers))
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range callers {
		group.Go(func() error {
			for more() {
				if err := ctx.Err(); err != nil {
					return err
				}
				start := time.Now()
				if err := c.call(); err != nil {
					return err
				}
				each[i] = append(each[i], time.Since(start))
			}
			return nil
		})
	}
	err := group.Wait()
	return slices.Concat(each...), err
}

// percentile of latencies that are sorted.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
