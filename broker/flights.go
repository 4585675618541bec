package broker

import (
	"errors"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// maxAbandoned bounds the intents whose fate is not known: beyond it no call
// starts before the log has told about some of them.
const maxAbandoned = 10_000

// Why a call cannot start.
var (
	errStopping = errors.New("the broker is stopping")
	errBehind   = errors.New("the log owes too many acknowledgements")
)

// flights are the calls whose intents this replica is writing or has written and
// not yet closed. The follower asks them what an intent of our own means when it
// comes by.
type flights struct {
	stopping chan struct{} // closed when no call starts any more

	mu        sync.Mutex
	open      map[string]*flight // guarded by mu
	abandoned int                // guarded by mu: of those in open
	closed    bool               // guarded by mu: stopping is closed
}

// flight is what has to be known of a call until the follower meets its intent.
type flight struct {
	where  about
	held   bool
	caller string
	atHand atHand
	folded chan struct{} // closed when the follower has folded a held intent

	seen      bool // guarded by flights.mu: the follower has read its intent
	landed    bool // guarded by flights.mu: its request is over
	abandoned bool // guarded by flights.mu: acknowledged too late, it must not run
}

func newFlights() *flights {
	return &flights{stopping: make(chan struct{}), open: map[string]*flight{}}
}

// start registers a call before its intent is written. Pair it with land or drop.
func (f *flights) start(c *call) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, errStopping
	case f.abandoned >= maxAbandoned:
		return nil, errBehind
	}
	who := c.intent.Identity // a copy: a flight may outlive its call, and must not keep it
	fl := &flight{
		where:  about{domain: c.domain, topic: audit.TopicCalls, callID: c.id, who: &who, trace: c.trace, statement: c.intent.Statement},
		held:   c.held(),
		caller: callerOf(who),
		atHand: atHand{args: c.args.Canonical, salt: c.salt, key: c.key},
		folded: make(chan struct{}),
	}
	f.open[c.id] = fl
	return fl, nil
}

// land ends the request of a call whose intent is stored. A held one stays known
// until the follower has met its intent.
func (f *flights) land(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.open[id]
	if fl == nil {
		return
	}
	if fl.landed = true; fl.seen || !fl.held {
		delete(f.open, id)
	}
}

// drop ends a call whose intent was not acknowledged. An abandoned one stays known.
func (f *flights) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.open[id]; fl != nil && !fl.abandoned {
		delete(f.open, id)
	}
}

// abandon gives a call up whose intent may be stored. It reports whether the
// follower has met it already, so that the caller must close it; otherwise the
// follower will, should it come by.
func (f *flights) abandon(id string) (stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.open[id]
	if fl.seen {
		return true
	}
	fl.abandoned, fl.atHand = true, atHand{}
	f.abandoned++
	return false
}

// meet notes that the follower came to an intent of this replica. The flight is nil
// if its call is over; an abandoned one is forgotten here.
func (f *flights) meet(id string) (fl *flight, abandoned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl = f.open[id]
	if fl == nil {
		return nil, false
	}
	fl.seen = true
	if fl.abandoned {
		f.abandoned--
	}
	if fl.abandoned || fl.landed {
		delete(f.open, id)
	}
	return fl, fl.abandoned
}

// flying reports whether a call's request is under way here.
func (f *flights) flying(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.open[id]
	return fl != nil && !fl.landed && !fl.abandoned
}

// close lets no further call start, and ends all waiting for people.
func (f *flights) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.stopping)
	}
}
