package broker

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/legalhold"
)

// keeping is what the log says of legal holds and of erasures that people asked for.
type keeping struct {
	holds legalhold.Book

	mu      sync.Mutex
	changed chan struct{}            // guarded by mu: closed and replaced at each change
	due     map[string]audit.Erasure // guarded by mu: by event, this replica's that it may not have carried out
	awaited map[string]bool          // guarded by mu: by event, those that are being recorded, and whether they were read back
	of      func(e audit.Event) bool // whether this replica wrote it
}

func newKeeping(source string) *keeping {
	return &keeping{
		changed: make(chan struct{}), due: map[string]audit.Erasure{}, awaited: map[string]bool{},
		of: func(e audit.Event) bool { return e.Source == source },
	}
}

// fold reads an event of control.
func (k *keeping) fold(e audit.Event) error {
	ours, err := k.holds.Apply(e)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case ours:
	case e.Type == audit.ReplicaStarted && k.of(e):
		clear(k.due) // when it started it carried out what the one before had left
	case e.Type == audit.PayloadsErased:
		var data audit.Erasure
		if data, err = audit.DataOf[audit.Erasure](e); err == nil && len(data.Calls) > 0 && k.of(e) {
			k.due[e.ID] = data
		}
	case e.Type == audit.RecordsRemoved: // for whoever awaits it
	default:
		return nil
	}
	if _, ok := k.awaited[e.ID]; ok {
		k.awaited[e.ID] = true
	}
	close(k.changed)
	k.changed = make(chan struct{})
	return err
}

func (k *keeping) wait() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed
}

// await makes known that an event is about to be recorded, so that read tells when it
// was read back. Done ends it.
func (k *keeping) await(id string) (read func() bool, done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.awaited[id] = false
	read = func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.awaited[id]
	}
	return read, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.awaited, id)
	}
}

// carriedOut forgets an erasure.
func (k *keeping) carriedOut(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.due, id)
}

// left are the erasures on record that may not have been carried out.
func (k *keeping) left() map[string]audit.Erasure {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.due)
}

// WaitingSince reports whether a call that was opened before a moment waits for people: its
// arguments are what they decide on, and outlive their retention until then.
func (b *Broker) WaitingSince(before time.Time) bool {
	return slices.ContainsFunc(b.holds.list(), func(h *hold) bool {
		c, _ := h.snapshot()
		return c.Open() && c.Opening.Time.Before(before)
	})
}
