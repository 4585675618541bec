package denylist

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deedbroker/deed/agents"
)

// List is the entries in force. Its zero value is empty and ready; it is safe for
// concurrent use.
type List struct {
	size atomic.Int64 // of byID

	mu       sync.RWMutex
	byID     map[string]Entry            // guarded by mu
	byTarget map[target]map[string]Entry // guarded by mu: by id
	changed  chan struct{}               // guarded by mu: closed and replaced at each change; nil until somebody waits
}

// target is what an identity is looked up by. Of a chain it is the principal and the
// agent that they delegated to.
type target struct {
	kind         Kind
	value, agent string
}

func (e Entry) target() target {
	t := target{kind: e.Kind, value: e.Value}
	if e.Kind == Chain && len(e.Agents) > 0 {
		t.agent = e.Agents[len(e.Agents)-1]
	}
	return t
}

// Add puts an entry in force. It reports false for one that is there already.
func (l *List) Add(e Entry) bool {
	e.Agents = slices.Clone(e.Agents)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.byID[e.ID]; known {
		return false
	}
	if l.byID == nil {
		l.byID, l.byTarget = map[string]Entry{}, map[target]map[string]Entry{}
	}
	t := e.target()
	if l.byTarget[t] == nil {
		l.byTarget[t] = map[string]Entry{}
	}
	l.byID[e.ID], l.byTarget[t][e.ID] = e, e
	l.change()
	return true
}

// Lift ends an entry. It reports false if there is none of that id.
func (l *List) Lift(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.byID[id]; !known {
		return false
	}
	l.remove(id)
	l.change()
	return true
}

// remove must be called with mu held.
func (l *List) remove(id string) {
	t := l.byID[id].target()
	delete(l.byID, id)
	if delete(l.byTarget[t], id); len(l.byTarget[t]) == 0 {
		delete(l.byTarget, t)
	}
}

// change must be called with mu held.
func (l *List) change() {
	l.size.Store(int64(len(l.byID)))
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Changed is closed at the next change.
func (l *List) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// Len is how many entries are kept, with those whose end has come lately.
func (l *List) Len() int { return int(l.size.Load()) }

// Denies finds an entry that stops id now.
func (l *List) Denies(id *agents.Identity, now time.Time) (Entry, bool) {
	if l.size.Load() == 0 || id == nil {
		return Entry{}, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, a := range id.Chain {
		if e, ok := l.find(target{Agent, a.ID, ""}, id, now); ok {
			return e, true
		}
	}
	for _, t := range [...]target{{Principal, id.Principal, ""}, {Token, id.TokenDigest, ""}, {Token, id.TokenID, ""}, {Session, id.Session, ""}, {Key, id.KeyID, ""}} {
		if e, ok := l.find(t, id, now); ok {
			return e, true
		}
	}
	if n := len(id.Chain); n > 0 {
		return l.find(target{Chain, id.Principal, id.Chain[n-1].ID}, id, now)
	}
	return Entry{}, false
}

// find must be called with mu held.
func (l *List) find(t target, id *agents.Identity, now time.Time) (Entry, bool) {
	if t.value == "" {
		return Entry{}, false
	}
	for _, e := range l.byTarget[t] {
		if !e.over(now) && e.Stops(id) {
			return e, true
		}
	}
	return Entry{}, false
}

// Covering finds an entry in force that stops whatever e would, for at least as long.
func (l *List) Covering(e Entry, now time.Time) (Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, have := range l.byTarget[e.target()] {
		if !have.over(now) && e.same(have) {
			return have, true
		}
	}
	return Entry{}, false
}

// Get is the entry of that id, if it is in force.
func (l *List) Get(id string, now time.Time) (Entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, ok := l.byID[id]
	return e, ok && !e.over(now)
}

// Entries are those in force, the oldest first: their ids tell the time.
func (l *List) Entries(now time.Time) []Entry {
	l.mu.RLock()
	list := make([]Entry, 0, len(l.byID))
	for _, e := range l.byID {
		if !e.over(now) {
			list = append(list, e)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Forget drops entries whose end has come.
func (l *List) Forget(now time.Time) {
	if l.size.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.byID)
	for id, e := range l.byID {
		if e.over(now) {
			l.remove(id)
		}
	}
	if len(l.byID) < before {
		l.change()
	}
}
