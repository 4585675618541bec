package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	maxWatchers  = 2000
	perPerson    = 16 // streams that one person may have
	watchedWires = 16
	maxSlower    = 0.05 // that viewers may make the median of calls slower
)

// watching is what calls cost with or without viewers.
type watching struct {
	Viewers        int     `json:"viewers"`
	Calls          int     `json:"calls"`
	CallsPerSecond float64 `json:"calls_per_second"`
	P50Millis      float64 `json:"p50_ms"` // from when a call was due
	P99Millis      float64 `json:"p99_ms"`
	CPUPercent     float64 `json:"cpu_percent"`      // of one core, of the broker's process
	BytesPerSecond float64 `json:"bytes_per_second"` // that viewers read

	elapsed, cpu time.Duration
	bytes        int64
	latencies    []time.Duration
}

// audience is what -viewers reports.
type audience struct {
	Go     string     `json:"go"`
	CPUs   int        `json:"cpus"`
	Load   float64    `json:"load_average"`
	Rate   int        `json:"calls_per_second_wanted"`
	With   []watching `json:"with"` // without viewers, then with them
	Slower float64    `json:"p50_slower"`
	Target float64    `json:"target"`
	Met    bool       `json:"met"`
}

// watched compares calls at a fixed rate with and without viewers, in turns.
func (o *options) watched(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "deed-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := o.startSubject(ctx, subjectDeed, dir)
	if err != nil {
		return fmt.Errorf("start deed: %w", err)
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	a := audience{Go: runtime.Version(), CPUs: runtime.NumCPU(), Rate: o.rate, Target: maxSlower, With: []watching{{}, {Viewers: o.viewers}}}
	if a.Load, err = loadAverage(); err != nil {
		return err
	}
	for round := range 2 * o.rounds {
		w := &a.With[(round+round/2)%2] // without, with, with, without, …
		if _, err := fmt.Fprintf(stderr, "bench: round %d of %d, %d viewers\n", round+1, 2*o.rounds, w.Viewers); err != nil {
			return err
		}
		if err := o.watchRound(ctx, s, w); err != nil {
			return err
		}
	}
	for i := range a.With {
		a.With[i].finish()
	}
	a.Slower = ratio(a.With[1].P50Millis, a.With[0].P50Millis) - 1
	a.Met = a.Slower <= maxSlower
	return a.write(stdout, o.json)
}

func (o *options) watchRound(ctx context.Context, s *subject, w *watching) (err error) {
	if w.Viewers > 0 {
		v, err := o.startWatchers(ctx, s, w.Viewers)
		if err != nil {
			return err
		}
		defer func() {
			n, stopErr := v.end()
			w.bytes += n
			err = errors.Join(err, stopErr)
		}()
	}
	var wires []*wire
	defer func() {
		for _, x := range wires {
			err = errors.Join(err, x.close())
		}
	}()
	for range watchedWires {
		x, err := dial(ctx, s, generations()[1])
		if err != nil {
			return err
		}
		wires = append(wires, x)
	}
	if _, err := pace(ctx, wires, o.rate, time.Second); err != nil { // warm up
		return err
	}
	before, err := cpuTime(s.pid)
	if err != nil {
		return err
	}
	begun := time.Now()
	latencies, err := pace(ctx, wires, o.rate, o.time)
	if err != nil {
		return err
	}
	after, err := cpuTime(s.pid)
	w.elapsed += time.Since(begun)
	w.cpu += after - before
	w.latencies = append(w.latencies, latencies...)
	return err
}

// pace makes calls at a rate, whether or not earlier ones have been answered, as far as
// there are wires, and returns how long after it was due each was answered.
func pace(ctx context.Context, wires []*wire, rate int, limit time.Duration) ([]time.Duration, error) {
	dues := make(chan time.Time, rate)
	perWire := make([][]time.Duration, len(wires))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(dues)
		interval := time.Second / time.Duration(rate)
		timer := time.NewTimer(0)
		defer timer.Stop()
		end := time.Now().Add(limit)
		for due := time.Now(); due.Before(end); due = due.Add(interval) {
			timer.Reset(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case dues <- due:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for i, w := range wires {
		g.Go(func() error {
			for due := range dues {
				if err := w.call(); err != nil {
					return err
				}
				perWire[i] = append(perWire[i], time.Since(due))
			}
			return nil
		})
	}
	err := g.Wait()
	return slices.Concat(perWire...), err
}

func (w *watching) finish() {
	slices.Sort(w.latencies)
	seconds := w.elapsed.Seconds()
	w.Calls, w.CallsPerSecond = len(w.latencies), float64(len(w.latencies))/seconds
	w.P50Millis, w.P99Millis = millis(percentile(w.latencies, 50)), millis(percentile(w.latencies, 99))
	w.CPUPercent, w.BytesPerSecond = 100*w.cpu.Seconds()/seconds, float64(w.bytes)/seconds
}

func (a *audience) write(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(a)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: table}
	p.line("viewers\tcalls\tcalls/s\tp50 ms\tp99 ms\tCPU %%\tread MiB/s\t")
	for _, w := range a.With {
		p.line("%d\t%d\t%.0f\t%.2f\t%.2f\t%.0f\t%.1f\t", w.Viewers, w.Calls, w.CallsPerSecond, w.P50Millis, w.P99Millis, w.CPUPercent, w.BytesPerSecond/(1<<20))
	}
	if p.err == nil {
		p.err = table.Flush()
	}
	p.w = out
	p.line("\n%s, %d CPUs, load average %.1f before; %d calls/s wanted; CPU of the broker's process, viewers read in another", a.Go, a.CPUs, a.Load, a.Rate)
	word := "met"
	if !a.Met {
		word = "MISSED"
	}
	p.line("%-6s p50 with viewers is %+.1f %%, target %+.0f %%", word, 100*a.Slower, 100*a.Target)
	return p.err
}
