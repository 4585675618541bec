package audittest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// Fault is what goes wrong with an append. Its steps happen in the order of the fields.
type Fault struct {
	// When chooses the events; nil means every one.
	When func(audit.Event) bool
	// Times is how many appends it happens to; zero means all.
	Times int

	// Hold keeps the event from the log until it is closed. If ctx ends first
	// nothing is stored, and the error is audit.ErrUnavailable.
	Hold <-chan struct{}
	// Refuse is returned instead of storing the event.
	Refuse error
	// HoldAck keeps the acknowledgement back, when the event is stored, until it
	// is closed. If ctx ends first the error is audit.ErrUncertain.
	HoldAck <-chan struct{}
	// LoseAck is returned instead of the acknowledgement: the event is stored.
	LoseAck error
	// Seen, if not nil, gets the event when the fault happens, before anything
	// else. It must be received.
	Seen chan<- audit.Event
}

// Faulty is a log whose appends go wrong on demand. Without a fault it is the log
// that it wraps. It is safe for concurrent use.
type Faulty struct {
	Store

	mu     sync.Mutex
	faults []*Fault // guarded by mu
}

// Store is a log with its payloads.
type Store interface {
	audit.Log
	audit.Payloads
}

var _ Store = (*Faulty)(nil)

// NewFaulty wraps a log.
func NewFaulty(inner Store) *Faulty { return &Faulty{Store: inner} }

// Inject adds a fault. Of several that fit an event the oldest happens. The
// returned function takes it back.
func (f *Faulty) Inject(fault Fault) (remove func()) {
	added := &fault
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, added)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop(added)
	}
}

// OfType fits events of these types.
func OfType(types ...audit.Type) func(audit.Event) bool {
	return func(e audit.Event) bool { return slices.Contains(types, e.Type) }
}

func (f *Faulty) drop(fault *Fault) {
	for i, other := range f.faults {
		if other == fault {
			f.faults = append(f.faults[:i:i], f.faults[i+1:]...)
			return
		}
	}
}

func (f *Faulty) pick(e audit.Event) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.faults {
		if fault.When != nil && !fault.When(e) {
			continue
		}
		picked := *fault
		if fault.Times > 0 {
			if fault.Times--; fault.Times == 0 {
				f.drop(fault)
			}
		}
		return picked, true
	}
	return Fault{}, false
}

// Append is the wrapped log's, unless a fault fits the event.
func (f *Faulty) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	fault, ok := f.pick(e)
	if !ok {
		return f.Store.Append(ctx, e)
	}
	if fault.Seen != nil {
		select {
		case fault.Seen <- e:
		case <-ctx.Done():
			return audit.Position{}, fmt.Errorf("append event: %w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
	if !wait(ctx, fault.Hold) {
		return audit.Position{}, fmt.Errorf("append event: %w: %w", audit.ErrUnavailable, ctx.Err())
	}
	if fault.Refuse != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", fault.Refuse)
	}
	p, err := f.Store.Append(ctx, e)
	if err != nil {
		return p, err
	}
	if !wait(ctx, fault.HoldAck) {
		return audit.Position{}, fmt.Errorf("append event: %w: %w", audit.ErrUncertain, ctx.Err())
	}
	if fault.LoseAck != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", fault.LoseAck)
	}
	return p, nil
}

func wait(ctx context.Context, open <-chan struct{}) bool {
	if open == nil {
		return true
	}
	select {
	case <-open:
		return true
	case <-ctx.Done():
		return false
	}
}

// All reads a log from its beginning to its end.
func All(ctx context.Context, log audit.Log) ([]audit.Record, error) {
	return Take(log.Read(ctx, ""), -1)
}

// Take takes n records, or all if n is negative.
func Take(records iter.Seq2[audit.Record, error], n int) ([]audit.Record, error) {
	var out []audit.Record
	if n == 0 {
		return out, nil
	}
	for r, err := range records {
		if err != nil {
			return out, err
		}
		if out = append(out, r); len(out) == n {
			break
		}
	}
	return out, nil
}
