package broker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// Bounds of what is kept of held calls that have ended, so that their callers can
// still pick up the outcome from memory.
const (
	maxEnded = 10_000
	keepFor  = 24 * time.Hour
)

// hold is a held call: its state as folded from the log, and who waits for it here.
type hold struct {
	mu       sync.Mutex
	call     calls.Call      // guarded by mu
	changed  chan struct{}   // guarded by mu: closed and replaced at each change
	answer   *tools.Answer   // guarded by mu: what the tool said, if it ran here
	args     tools.Arguments // guarded by mu: read from the log when first needed
	key      callKey         // zero until args are known
	taken    bool            // guarded by mu: a caller has been given the outcome
	deciding bool            // guarded by mu: consider is at work
	again    bool            // guarded by mu: consider must look once more
}

// snapshot is the call's state now, and a channel that closes when it changes.
func (h *hold) snapshot() (calls.Call, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.call, h.changed
}

// apply folds one event of the call.
func (h *hold) apply(e audit.Event, at audit.Position) (counted bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counted, err = h.call.Apply(e, at)
	if counted {
		close(h.changed)
		h.changed = make(chan struct{})
	}
	return counted, err
}

func (h *hold) setAnswer(a tools.Answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = &a
}

// holds are the held calls that are open, and those that ended lately.
type holds struct {
	mu    sync.Mutex
	byID  map[string]*hold  // guarded by mu
	byKey map[callKey]*hold // guarded by mu: the latest call of that key whose outcome nobody took
}

func newHolds() *holds {
	return &holds{byID: map[string]*hold{}, byKey: map[callKey]*hold{}}
}

func (hs *holds) get(id string) *hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.byID[id]
}

// add starts to keep a held call, with its arguments if they are at hand.
func (hs *holds) add(c calls.Call, args tools.Arguments, key callKey) *hold {
	h := &hold{call: c, changed: make(chan struct{}), args: args, key: key}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.byID[c.ID] = h
	if key != (callKey{}) {
		hs.byKey[key] = h
	}
	return h
}

// same finds the call that a repeated request means: held, running, or ended with
// an outcome that nobody has taken.
func (hs *holds) same(key callKey) *hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.byKey[key]
}

// take marks the outcome as given to its caller: the next equal request is a new call.
func (hs *holds) take(h *hold) {
	h.mu.Lock()
	h.taken = true
	h.mu.Unlock()
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byKey[h.key] == h {
		delete(hs.byKey, h.key)
	}
}

// open lists the holds that are not closed, the earliest deadline first.
func (hs *holds) open() []*hold {
	hs.mu.Lock()
	all := make([]*hold, 0, len(hs.byID))
	for _, h := range hs.byID {
		all = append(all, h)
	}
	hs.mu.Unlock()
	type due struct {
		h  *hold
		at time.Time
	}
	var open []due
	for _, h := range all {
		if c, _ := h.snapshot(); c.Open() {
			open = append(open, due{h, c.Deadline()})
		}
	}
	slices.SortFunc(open, func(a, b due) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.h.call.ID, b.h.call.ID)) })
	sorted := make([]*hold, len(open))
	for i, d := range open {
		sorted[i] = d.h
	}
	return sorted
}

// voted lists the open holds that have approvals, for those cast while nobody was there to act on them.
func (hs *holds) voted() []*hold {
	return slices.DeleteFunc(hs.open(), func(h *hold) bool {
		c, _ := h.snapshot()
		return len(c.Votes) == 0
	})
}

// room reports whether caller may have one more call held.
func (hs *holds) room(caller string, total, each int) bool {
	n, mine := 0, 0
	for _, h := range hs.open() {
		n++
		c, _ := h.snapshot()
		if callerOf(c.Intent.Identity) == caller {
			mine++
		}
	}
	return n < total && mine < each
}

// forget drops calls that ended long ago, or too many of them.
func (hs *holds) forget(now time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var ended []*hold
	for _, h := range hs.byID {
		if c, _ := h.snapshot(); !c.Open() {
			ended = append(ended, h)
		}
	}
	slices.SortFunc(ended, func(a, b *hold) int { return b.call.Closing.Time.Compare(a.call.Closing.Time) })
	for i, h := range ended {
		if i >= maxEnded || now.Sub(h.call.Closing.Time) > keepFor {
			delete(hs.byID, h.call.ID)
			if hs.byKey[h.key] == h {
				delete(hs.byKey, h.key)
			}
		}
	}
}

// callerOf is agents.Identity.Key of a recorded identity.
func callerOf(id audit.Identity) string {
	k := id.Issuer + "\x00" + id.Principal
	for _, a := range id.Chain {
		k += "\x00" + a.ID
	}
	return k
}

// hold waits for people with the request open, for as long as the configuration says.
func (b *Broker) hold(ctx context.Context, c *call, f *flight) (*Reply, error) {
	select {
	case <-f.folded: // so that whoever learns of the call can find it
	case <-b.live.Done():
		return nil, &Error{Kind: LogUnavailable, Op: "hold " + c.intent.Tool, CallID: c.id,
			Public: "the broker is stopping; the call stays held and can be picked up with deed__await"}
	}
	return b.await(ctx, b.holds.get(c.id), c.req.Waiting)
}

// rekey names the requests that mean h, once its arguments are known.
func (hs *holds) rekey(h *hold, key callKey) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.key = key
	hs.byKey[key] = h
}
