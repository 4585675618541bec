package legalhold

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Hold is one that is in force.
type Hold struct {
	audit.LegalHold

	ID     string
	Placed time.Time
}

// Book is the legal holds in force. The zero Book is empty. It is safe for concurrent use.
type Book struct {
	mu   sync.RWMutex
	held map[string]Hold // guarded by mu: by id
}

// Apply folds an event of control. It reports whether the event is about legal holds.
func (b *Book) Apply(e audit.Event) (bool, error) {
	switch e.Type {
	case audit.LegalHoldPlaced:
		h, err := audit.DataOf[audit.LegalHold](e)
		if err == nil && h.Scope.Empty() {
			err = fmt.Errorf("legal hold %s: it says nothing of what it holds", e.ID)
		}
		if err != nil {
			return true, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.held == nil {
			b.held = map[string]Hold{}
		}
		b.held[e.ID] = Hold{LegalHold: h, ID: e.ID, Placed: e.Time}
		return true, nil
	case audit.LegalHoldLifted:
		end, err := audit.DataOf[audit.LegalHoldEnd](e)
		if err != nil {
			return true, err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.held, end.Hold)
		return true, nil
	default:
		return false, nil
	}
}

// Len is how many holds are in force.
func (b *Book) Len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.held)
}

// Get returns a hold that is in force.
func (b *Book) Get(id string) (Hold, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	h, ok := b.held[id]
	return h, ok
}

// All are the holds in force, the oldest first.
func (b *Book) All() []Hold {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]Hold, 0, len(b.held))
	for _, h := range b.held {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b Hold) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Covering returns a hold that a call is under, if there is one.
func (b *Book) Covering(c *calls.Call) (Hold, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, h := range b.held {
		if h.Scope.Covers(c.ID, c.Domain, c.Intent.Identity, c.Opening.Time) {
			return h, true
		}
	}
	return Hold{}, false
}
