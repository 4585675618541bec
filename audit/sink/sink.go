package sink

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/export"
)

const (
	// MaxBatch is how many calls are sent at once.
	MaxBatch = 100
	// Gather is how long a call waits for others to be sent with.
	Gather = time.Second
	// buffered is how many records are read ahead.
	buffered = 256
	// sendTimeout bounds one attempt.
	sendTimeout = 30 * time.Second
	// longestPause is between two attempts.
	longestPause = time.Minute
)

// Target is where calls are sent.
type Target interface {
	// Send returns nil once all of them were taken. They may come again after an error.
	Send(ctx context.Context, entries []*export.Entry) error
	Close() error
}

// Log is what is read.
type Log interface {
	Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
}

// Config is what a sink needs.
type Config struct {
	Name    string
	Log     Log
	Target  Target
	Path    string   // of the file with its place in the log
	Domains []string // whose calls are sent; none: all
	Logger  *slog.Logger
}

// Sink sends calls of a log to a target.
type Sink struct {
	cfg   Config
	place *place

	mu      sync.Mutex
	since   time.Time // guarded by mu: when the oldest call ended that was read and not taken; zero: none
	trouble error     // guarded by mu: of the last attempt
	sent    int64     // guarded by mu
}

// Open returns a sink that goes on where it was, or at the beginning of the log.
func Open(cfg Config) (*Sink, error) {
	if cfg.Log == nil || cfg.Target == nil || cfg.Path == "" {
		return nil, errors.New("open sink: log, target and path are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := openPlace(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open sink %s: %w", cfg.Name, err)
	}
	return &Sink{cfg: cfg, place: p}, nil
}

// Status is how a sink does.
type Status struct {
	Name    string
	Sent    int64         // calls, since it was opened
	Behind  time.Duration // for how long a call has waited that was not taken
	Trouble error         // of the last attempt
}

// Status is how it does now.
func (s *Sink) Status(now time.Time) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Name: s.cfg.Name, Sent: s.sent, Trouble: s.trouble}
	if !s.since.IsZero() {
		status.Behind = max(0, now.Sub(s.since))
	}
	return status
}

// Run sends until ctx is done. A log that cannot be read is tried again.
func (s *Sink) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.run(ctx); err != nil && ctx.Err() == nil {
			s.failed(ctx, err)
			pause(ctx, longestPause)
		}
	}
	return s.cfg.Target.Close()
}

// run reads and sends until something fails that reading anew may mend.
func (s *Sink) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	records := make(chan audit.Record, buffered)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(records)
		for r, err := range s.cfg.Log.Follow(ctx, s.place.From) {
			if err != nil {
				stop(err)
				return
			}
			select {
			case records <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	defer reading.Wait()
	defer stop(nil)
	return s.drain(ctx, records)
}

// drain makes batches of what comes, and sends each when it is full or has waited.
func (s *Sink) drain(ctx context.Context, records <-chan audit.Record) error {
	f := newFold(s.place)
	var batch []*export.Entry
	timer := time.NewTimer(Gather)
	defer timer.Stop()
	for {
		var full bool
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case r, ok := <-records:
			if !ok {
				return context.Cause(ctx)
			}
			if e := f.fold(r); e != nil && s.wants(e) {
				s.waits(e)
				batch = append(batch, e)
			}
			full = len(batch) >= MaxBatch
		case <-timer.C:
			full = true
			timer.Reset(Gather)
		}
		if !full {
			continue
		}
		if err := s.deliver(ctx, batch); err != nil {
			return err
		}
		batch = nil
		if err := s.place.move(f); err != nil {
			return err
		}
	}
}

func (s *Sink) wants(e *export.Entry) bool {
	domain, _, _ := audit.SplitLog(e.At.Log)
	return len(s.cfg.Domains) == 0 || slices.Contains(s.cfg.Domains, domain)
}

func (s *Sink) waits(e *export.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = e.Ended()
	}
}

// deliver sends a batch until it is taken.
func (s *Sink) deliver(ctx context.Context, batch []*export.Entry) error {
	if len(batch) == 0 {
		return nil
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.MaxInterval = longestPause
	for {
		err := s.send(ctx, batch)
		if err == nil {
			s.taken(int64(len(batch)))
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.failed(ctx, err)
		pause(ctx, pauses.NextBackOff())
	}
}

func (s *Sink) send(ctx context.Context, batch []*export.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.cfg.Target.Send(ctx, batch)
}

func (s *Sink) taken(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent += n
	s.since, s.trouble = time.Time{}, nil
}

// failed keeps why, and tells of it once.
func (s *Sink) failed(ctx context.Context, err error) {
	s.mu.Lock()
	first := s.trouble == nil
	s.trouble = err
	s.mu.Unlock()
	if first {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "calls are not taken, trying again", slog.String("sink", s.cfg.Name), slog.String("error", err.Error()))
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
