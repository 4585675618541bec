package audittest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// Shared lets several replicas write one log, in one process: the model of a log
// that is an [audit.Fencer]. Replicas can be cut off and come back.
type Shared struct {
	store Store

	mu       sync.Mutex
	changed  chan struct{}       // guarded by mu: closed and replaced when a replica comes back or is fenced
	sessions map[string]*Replica // guarded by mu: the newest of each name
	held     map[string]*fence   // guarded by mu: by the name of the fenced
}

// Replica is one replica's session.
type Replica struct {
	Store  // reads
	shared *Shared
	name   string

	away   bool // guarded by shared.mu: its process is paused, killed or cut off
	fenced bool // guarded by shared.mu
	closed bool // guarded by shared.mu
}

var _ audit.Fencer = (*Replica)(nil)

// Share makes a log one that several replicas write.
func Share(store Store) *Shared {
	return &Shared{store: store, changed: make(chan struct{}), sessions: map[string]*Replica{}, held: map[string]*fence{}}
}

// Join opens a session under a name. While another one has the name, or holds its
// place, the error is [audit.ErrLocked]; one that is away loses it.
func (s *Shared) Join(name string) (*Replica, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.sessions[name]; old != nil {
		if !old.away && !old.closed {
			return nil, fmt.Errorf("open log as %s: %w", name, audit.ErrLocked)
		}
		old.fenced = true
	}
	if s.holder(name) != nil {
		return nil, fmt.Errorf("open log as %s: %w", name, audit.ErrLocked)
	}
	r := &Replica{Store: s.store, shared: s, name: name}
	s.sessions[name] = r
	s.change()
	return r, nil
}

// holder is the fence that stands in a replica's place; one whose holder is away does not.
func (s *Shared) holder(name string) *fence {
	f := s.held[name]
	if f != nil && (f.by.away || f.by.fenced || f.by.closed) {
		delete(s.held, name)
		return nil
	}
	return f
}

func (s *Shared) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// CutOff takes the replica from the log, as a kill, a pause or a broken network does:
// what it appends waits.
func (r *Replica) CutOff() {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.away = true
}

// Return ends what [Replica.CutOff] began. What waited is stored, unless the replica has been fenced.
func (r *Replica) Return() {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.away = false
	r.shared.change()
}

// Close ends the session in good order. The log stays open.
func (r *Replica) Close() error {
	r.shared.mu.Lock()
	defer r.shared.mu.Unlock()
	r.closed = true
	r.shared.change()
	return nil
}

// Append is [audit.Log.Append].
func (r *Replica) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	return r.shared.append(ctx, r, nil, e)
}

// append stores an event once the replica is there, for itself or through a fence. It
// keeps the lock meanwhile: what is fenced afterwards finds the event stored.
func (s *Shared) append(ctx context.Context, r *Replica, through *fence, e audit.Event) (audit.Position, error) {
	for {
		s.mu.Lock()
		if r.fenced || through != nil && s.holder(through.name) != through {
			s.mu.Unlock()
			return audit.Position{}, fmt.Errorf("append event: %w", audit.ErrFenced)
		}
		if r.closed {
			s.mu.Unlock()
			return audit.Position{}, fmt.Errorf("append event: %w: the session is closed", audit.ErrUnavailable)
		}
		if !r.away {
			defer s.mu.Unlock()
			return s.store.Append(ctx, e)
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return audit.Position{}, fmt.Errorf("append event: %w: %w", audit.ErrUncertain, ctx.Err())
		}
	}
}

// Fence implements [audit.Fencer].
func (r *Replica) Fence(_ context.Context, source string) (audit.Fence, error) {
	s, name := r.shared, source[strings.LastIndexByte(source, '/')+1:]
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old := s.sessions[name]; {
	case r.fenced:
		return nil, fmt.Errorf("fence %s: %w", name, audit.ErrFenced)
	case r.away, r.closed:
		return nil, fmt.Errorf("fence %s: %w", name, audit.ErrUnavailable)
	case old != nil && !old.away && !old.closed, s.holder(name) != nil:
		return nil, fmt.Errorf("fence %s: %w", name, audit.ErrAlive)
	case old != nil:
		old.fenced = true
	}
	f := &fence{by: r, name: name}
	s.held[name] = f
	s.change()
	return f, nil
}

// fence implements [audit.Fence].
type fence struct {
	by   *Replica
	name string
}

func (f *fence) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	return f.by.shared.append(ctx, f.by, f, e)
}

func (f *fence) Close() error {
	s := f.by.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[f.name] == f {
		delete(s.held, f.name)
	}
	return nil
}

// Name is the replica's.
func (r *Replica) Name() string { return r.name }
