package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const listTimeout = 30 * time.Second

// Run keeps every upstream alive and the tools current until ctx is done, then
// waits for all of them to stop. An upstream that stops is run again after a
// growing delay and affects no other. Run may be called once.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return errors.New("run registry: it runs already")
	}
	r.running = true
	r.mu.Unlock()

	var wg sync.WaitGroup
	for _, e := range r.entries { // not modified once running
		wg.Go(func() { e.supervise(ctx) })
		wg.Go(func() { e.follow(ctx) })
	}
	r.tell(ctx)
	wg.Wait()
	return nil
}

// tell calls OnChange until ctx is done.
func (r *Registry) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.dirty:
			if r.options.OnChange != nil {
				r.options.OnChange(r.Tools())
			}
		}
	}
}

func (r *Registry) backoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = r.options.Restart, r.options.MaxRestart, 2
	b.Reset()
	return b
}

// supervise runs the upstream again and again.
func (e *entry) supervise(ctx context.Context) {
	delays := e.registry.backoff()
	for {
		started := time.Now()
		err := e.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > e.registry.options.MaxRestart {
			delays.Reset()
		}
		delay := delays.NextBackOff()
		e.stopped(err)
		e.registry.log.LogAttrs(ctx, slog.LevelWarn, "upstream stopped",
			slog.String("upstream", e.name), slog.Any("error", err), slog.Duration("restart_in", delay))
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
	}
}

// run is the upstream's Run, with a panic made an error.
func (e *entry) run(ctx context.Context) (err error) {
	defer e.recovered(ctx, &err)
	e.registry.mu.Lock()
	e.runErr = nil
	e.registry.mu.Unlock()
	e.changed()
	if err := e.upstream.Run(ctx, e.changed); err != nil {
		return err
	}
	return errors.New("it returned")
}

func (e *entry) stopped(err error) {
	e.registry.mu.Lock()
	defer e.registry.mu.Unlock()
	e.restarts++
	e.runErr, e.stopErr, e.stopAt = err, err, time.Now()
	e.observe()
	e.registry.announce()
}

// changed never blocks, and one signal stands for many.
func (e *entry) changed() {
	select {
	case e.signal <- struct{}{}:
	default:
	}
}

// follow lists the upstream's tools again whenever it signals a change, and until
// that succeeds.
func (e *entry) follow(ctx context.Context) {
	delays := e.registry.backoff()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.signal:
		case <-retry:
		}
		retry = nil
		err := e.refresh(ctx)
		if err == nil {
			delays.Reset()
			continue
		}
		e.registry.log.LogAttrs(ctx, slog.LevelDebug, "upstream not listed", slog.String("upstream", e.name), slog.Any("error", err))
		retry = time.After(delays.NextBackOff())
	}
}

// refresh lists the upstream's tools. If that fails, those known before stay.
func (e *entry) refresh(ctx context.Context) error {
	err := e.upstream.Health()
	var raws []json.RawMessage
	if err == nil {
		raws, err = e.definitions(ctx)
	}
	r := e.registry
	r.mu.Lock()
	before := e.known
	r.mu.Unlock()
	var known []described
	var notes, left []string
	var features Features
	if s, ok := e.upstream.(Surface); ok && err == nil {
		features = s.Features()
		raws, left = withOperations(raws, features)
	}
	if err == nil { // compiling schemas takes a while; only this goroutine changes known while running
		known, notes, err = describe(e.name, before, raws)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.listErr = err
	if err != nil {
		e.observe()
		r.announce()
		return err
	}
	e.known, e.features, e.notes, e.listed = known, features, append(notes, left...), true
	e.observe()
	if slices.EqualFunc(before, known, sameDescribed) {
		r.announce()
	} else {
		r.publish()
	}
	return nil
}

func (e *entry) definitions(ctx context.Context) (raws []json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	defer e.recovered(ctx, &err)
	return e.upstream.Definitions(ctx)
}

// recovered turns a panic of the upstream into an error. What it panicked with may
// hold arguments: only the stack is logged.
func (e *entry) recovered(ctx context.Context, err *error) {
	if recover() == nil {
		return
	}
	*err = fmt.Errorf("upstream %s panicked", e.name)
	e.registry.log.LogAttrs(ctx, slog.LevelError, "upstream panicked",
		slog.String("upstream", e.name), slog.String("stack", string(debug.Stack())))
}
