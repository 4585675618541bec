package broker

import "sync"

// flights are the calls whose intents this replica is writing or has written and
// not yet closed. The follower asks them what an intent of our own means when it
// comes by.
type flights struct {
	up sync.WaitGroup // requests between start and land

	mu     sync.Mutex
	open   map[string]*flight // guarded by mu
	closed bool               // guarded by mu: no call starts any more
}

type flight struct {
	call      *call
	held      bool
	folded    chan struct{} // closed when the follower has folded a held intent
	seen      bool          // guarded by flights.mu: the follower has read its intent
	abandoned bool          // guarded by flights.mu: acknowledged too late, it must not run
}

func newFlights() *flights { return &flights{open: map[string]*flight{}} }

// start registers a call before its intent is written; false if the broker is
// stopping. Pair it with land.
func (f *flights) start(c *call, held bool) (*flight, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, false
	}
	fl := &flight{held: held, call: c, folded: make(chan struct{})}
	f.open[c.id] = fl
	f.up.Add(1)
	return fl, true
}

// land ends a request's part in a call. An abandoned call stays known until the
// follower has met its intent.
func (f *flights) land(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.open[id]; fl != nil && !fl.abandoned {
		delete(f.open, id)
	}
	f.up.Done()
}

// abandon gives a call up before its acknowledgement. It reports whether its intent
// is known to be stored by now, so that the caller must close it; otherwise the
// follower will, when it meets the intent.
func (f *flights) abandon(id string) (stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.open[id]
	fl.abandoned = !fl.seen
	return fl.seen
}

// meet notes that the follower came to an intent of this replica. The flight is nil
// if its call has landed; an abandoned one is forgotten here.
func (f *flights) meet(id string) (fl *flight, abandoned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl = f.open[id]
	if fl == nil {
		return nil, false
	}
	fl.seen = true
	if fl.abandoned {
		delete(f.open, id)
	}
	return fl, fl.abandoned
}

// close lets no further call start.
func (f *flights) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}
