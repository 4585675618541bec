package pulsar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/audit"
)

var (
	_ audit.Fencer = (*Log)(nil)
	_ audit.Fence  = (*fence)(nil)
)

// fence is a replica's place in the partitions of all calls: the producers of its name.
type fence struct {
	log     *Log
	name    string
	writers map[*partition]*writer
	once    sync.Once
}

// Fence implements [audit.Fencer]. A replica lives while it has its producers. One whose
// connection broke has Options.Courtesy to come back, and more where Pulsar itself was
// away: see awaitAbsence.
func (l *Log) Fence(ctx context.Context, source string) (audit.Fence, error) {
	f, err := l.fence(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("fence %s: %w", source, err)
	}
	return f, nil
}

func (l *Log) fence(ctx context.Context, source string) (*fence, error) {
	switch {
	case l.lease.isLost():
		return nil, audit.ErrFenced
	case !strings.HasPrefix(source, "deed://"+l.options.Tenant+"/") || source == l.options.source():
		return nil, fmt.Errorf("%w: no other replica of this log", audit.ErrAlive)
	}
	if err := l.awaitAbsence(ctx, source); err != nil {
		return nil, err
	}
	return l.takePlace(ctx, source)
}

// takePlace opens the producers of a replica's name, in the first partition before the
// others: two who try meet there.
func (l *Log) takePlace(ctx context.Context, source string) (_ *fence, err error) {
	f := &fence{log: l, name: source, writers: map[*partition]*writer{}}
	calls := l.callPartitions()
	held := newLease()
	for _, p := range calls {
		f.writers[p] = newWriter(p, source, held)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	for p, w := range f.writers {
		if !p.enter(source, w) {
			return nil, fmt.Errorf("%w: this replica is taking its place already", audit.ErrAlive)
		}
	}
	open := func(ctx context.Context, p *partition) error {
		err := f.writers[p].open(ctx)
		if errors.Is(err, ErrFenced) {
			return fmt.Errorf("%w: %w", audit.ErrAlive, err)
		}
		return err
	}
	if err := open(ctx, calls[0]); err != nil {
		return nil, err
	}
	g, opening := errgroup.WithContext(ctx)
	for _, p := range calls[1:] {
		g.Go(func() error { return open(opening, p) })
	}
	return f, g.Wait()
}

// Append implements [audit.Fence].
func (f *fence) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	body, err := e.Encode()
	if err != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", err)
	}
	topic := f.log.topics[e.LogName()]
	if e.Type != audit.CallUnknown || topic == nil || len(e.Payloads) > 0 {
		return audit.Position{}, fmt.Errorf("append event: a fence takes only what closes a call as unknown, not a %s of %s", e.Type, e.LogName())
	}
	p := topic[route(keyOf(e), len(topic))]
	for {
		at, err := f.append(ctx, f.writers[p], e, body)
		if !errors.Is(err, errDropped) || errors.Is(err, audit.ErrFenced) {
			return at, err
		}
		// The clock with which the run began is behind that of the dead one; its next
		// run begins higher. The event is not stored.
	}
}

func (f *fence) append(ctx context.Context, w *writer, e audit.Event, body []byte) (audit.Position, error) {
	s, err := w.send(ctx, e, body, func() {})
	for errors.Is(err, errReopening) {
		if err = w.opened(ctx); err == nil {
			s, err = w.send(ctx, e, body, func() {})
		}
	}
	if err != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", err)
	}
	index, err := w.await(ctx, s)
	if err != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", err)
	}
	return audit.Position{Log: w.partition.place.log, Index: index}, nil
}

// Close implements [audit.Fence].
func (f *fence) Close() error {
	f.once.Do(func() {
		for p, w := range f.writers {
			w.close()
			p.leave(f.name, w)
		}
	})
	return nil
}

// enter makes the tail tell a writer, in another replica's name, of what it reads.
func (p *partition) enter(name string, w *writer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places[name] != nil {
		return false
	}
	if p.places == nil {
		p.places = map[string]*writer{}
	}
	p.places[name] = w
	return true
}

func (p *partition) leave(name string, w *writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.places[name] == w {
		delete(p.places, name)
	}
}
