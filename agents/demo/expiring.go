package demo

import (
	"sync"
	"time"
)

// expiring is a map whose entries die, and that takes only so many.
type expiring[V any] struct {
	limit int

	mu      sync.Mutex // guards entries
	entries map[string]expiringEntry[V]
}

type expiringEntry[V any] struct {
	value V
	until time.Time
}

func newExpiring[V any](limit int) *expiring[V] {
	return &expiring[V]{limit: limit, entries: make(map[string]expiringEntry[V])}
}

// put reports false if there is no room even without what has died.
func (e *expiring[V]) put(name string, value V, until time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.entries[name]; !known && len(e.entries) >= e.limit {
		e.sweep(time.Now())
		if len(e.entries) >= e.limit {
			return false
		}
	}
	e.entries[name] = expiringEntry[V]{value, until}
	return true
}

func (e *expiring[V]) sweep(now time.Time) {
	for name, entry := range e.entries {
		if !now.Before(entry.until) {
			delete(e.entries, name)
		}
	}
}

func (e *expiring[V]) get(name string) (V, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	entry, ok := e.entries[name]
	if !ok || !time.Now().Before(entry.until) {
		var zero V
		return zero, false
	}
	return entry.value, true
}
