package notify

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// maxEntries bounds the calls that are followed. A broker holds fewer at once.
const maxEntries = 50_000

// book is what is known of held calls, and of who was told what.
type book struct {
	routes []Route
	alone  bool            // no other replica tells anybody
	source string          // of this replica's events
	local  map[string]bool // channels that every replica uses

	mu      sync.Mutex
	entries map[string]*entry // guarded by mu: by call
	leader  string            // guarded by mu: the source of the newest checkpoint
	bell    chan struct{}     // guarded by mu: closed and replaced when there may be more to tell
}

// entry is a call that was held, and what was said of it.
type entry struct {
	call calls.Call
	plan map[string]due  // by channel; from the routes of now
	told map[string]told // by channel
}

// told is what was said last about a call on a channel.
type told struct {
	State State     `json:"state"`
	At    time.Time `json:"at"`
	Dead  bool      `json:"dead,omitempty"` // it was not taken: nothing follows
}

func newBook(routes []Route, source string, alone bool) *book {
	return &book{routes: routes, source: source, alone: alone, local: map[string]bool{}, entries: map[string]*entry{}, bell: make(chan struct{})}
}

// ring wakes those who wait for something to tell. The caller holds mu.
func (b *book) ring() {
	close(b.bell)
	b.bell = make(chan struct{})
}

// put takes an entry in, from the file or for a call that was just held.
func (b *book) put(c calls.Call, said map[string]told) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.entries) >= maxEntries && b.entries[c.ID] == nil {
		return false
	}
	if said == nil {
		said = map[string]told{}
	}
	b.entries[c.ID] = &entry{call: c, plan: plan(b.routes, &c), told: said}
	b.ring()
	return true
}

// apply folds an event of a call that is in the book. It gives what is to be stored: nil
// told means that the call can be forgotten.
func (b *book) apply(e audit.Event, at audit.Position) (c calls.Call, said map[string]told, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.entries[e.Subject]
	if x == nil {
		return c, nil, false
	}
	if counted, err := x.call.Apply(e, at); err != nil || !counted { // what no honest broker wrote is for others to report
		return c, nil, false
	}
	b.ring()
	if x.over() {
		delete(b.entries, e.Subject)
		return x.call, nil, true
	}
	return x.call, maps.Clone(x.told), true
}

func (b *book) knows(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[id] != nil
}

// state is what people are to know of the call.
func (x *entry) state() State {
	switch {
	case x.call.State == calls.Held:
		return Held
	case x.call.Closing.Type == audit.CallUnknown:
		return Unknown
	case x.call.Releasing.ID != "":
		return Approved
	case x.call.Closing.Type == audit.CallDenied:
		return Denied
	case x.call.Closing.Type == audit.CallExpired:
		return Expired
	default:
		return Cancelled
	}
}

// since is when the call came into its state.
func (x *entry) since() time.Time {
	switch x.state() {
	case Held:
		return x.call.Opening.Time
	case Approved:
		return x.call.Releasing.Time
	case Denied, Expired, Cancelled, Unknown, Test:
		return x.call.Closing.Time
	default:
		return x.call.Closing.Time
	}
}

// owed is whether something is to be said on a channel, and from when on.
func (x *entry) owed(channel string) (at time.Time, late, ok bool) {
	state, said := x.state(), x.told[channel]
	switch {
	case said.Dead || said.State == state:
		return at, false, false
	case said.State == "" && state == Held:
		d, planned := x.plan[channel]
		return d.at, d.late, planned
	case said.State == "": // it was decided before anybody was told
		return at, false, false
	default:
		return x.since(), false, true
	}
}

// over reports whether nothing will be said of the call any more.
func (x *entry) over() bool {
	if x.call.State != calls.Closed {
		return false
	}
	for channel := range x.told {
		if _, _, ok := x.owed(channel); ok {
			return false
		}
	}
	return true
}

// pending is one thing to say on a channel.
type pending struct {
	call  calls.Call
	state State
	first State // what was said before; empty if nothing was
	late  bool
	at    time.Time
}

// due lists what is to be said on a channel by now, the most urgent first and at most
// maxTogether, and when there may be more: at the latest when the bell rings.
func (b *book) due(channel string, now time.Time) (list []pending, next time.Time, bell <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.mine() && !b.local[channel] {
		return nil, next, b.bell
	}
	var all []*entry
	for _, x := range b.entries {
		at, _, ok := x.owed(channel)
		switch {
		case !ok:
		case at.After(now):
			if next.IsZero() || at.Before(next) {
				next = at
			}
		default:
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b *entry) int {
		return cmp.Or(a.call.Deadline().Compare(b.call.Deadline()), cmp.Compare(a.call.ID, b.call.ID))
	})
	for _, x := range all[:min(len(all), maxTogether)] {
		_, late, _ := x.owed(channel)
		list = append(list, pending{call: x.call, state: x.state(), first: x.told[channel].State, late: late, at: x.since()})
	}
	return list, next, b.bell
}

// still reports whether a call is in a state, so that it makes sense to say so.
func (b *book) still(id string, s State) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.entries[id]
	return x != nil && x.state() == s
}

// mark notes what was said. It gives what is to be stored, as apply does.
func (b *book) mark(id, channel string, t told) (said map[string]told, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.entries[id]
	if x == nil {
		return nil, false
	}
	x.told[channel] = t
	b.ring() // what came meanwhile may follow it
	if x.over() {
		delete(b.entries, id)
		return nil, true
	}
	return maps.Clone(x.told), true
}

// waiting is how many calls are in the book.
func (b *book) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.entries)
}

// empty forgets all calls.
func (b *book) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.entries)
	b.ring()
}
