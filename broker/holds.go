package broker

import (
	"container/heap"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Bounds of what is kept of held calls that have ended.
const (
	maxEnded = 10_000
	// keepFor is how long the outcome of a held call can be asked for by its id.
	keepFor = 24 * time.Hour
	// SameCallFor is how long after its end a held call is what an equal request
	// means, if nobody has been given its outcome. Later it is a call of its own.
	SameCallFor = 15 * time.Minute
)

// holds are the held calls that are open, and those that ended lately.
// Lock order: holds.mu before hold.mu.
type holds struct {
	mu    sync.Mutex
	byID  map[string]*hold  // guarded by mu
	byKey map[callKey]*hold // guarded by mu: the latest call of that key whose outcome nobody took
	open  map[string]*hold  // guarded by mu: those not closed, by id
	due   deadlines         // guarded by mu: those whose expiry is still to be written
	ended []*hold           // guarded by mu: in the order of their end
	looks []deadline        // guarded by mu: those to be considered, the earliest first

	// guarded by mu: the open calls whose key is not known yet, by who called what
	unnamed map[string][]*hold

	waiting map[string]int // guarded by mu: how many each caller has, with those reserved
	total   int            // guarded by mu: sum of waiting
}

func newHolds() *holds {
	return &holds{byID: map[string]*hold{}, byKey: map[callKey]*hold{}, open: map[string]*hold{}, waiting: map[string]int{}, unnamed: map[string][]*hold{}}
}

func (hs *holds) get(id string) *hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.byID[id]
}

// reserve takes room for one more held call of caller, if there is any. It is given
// back by free, or by the end of the call that is added.
func (hs *holds) reserve(caller string, total, each int) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.total >= total || hs.waiting[caller] >= each {
		return false
	}
	hs.count(caller, 1)
	return true
}

func (hs *holds) free(caller string) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.count(caller, -1)
}

// count must be called with mu held.
func (hs *holds) count(caller string, n int) {
	hs.total += n
	if hs.waiting[caller] += n; hs.waiting[caller] == 0 {
		delete(hs.waiting, caller)
	}
}

// add starts to keep a held call, with what is known of it.
// Room for it, unless it has ended, was reserved if reserved says so.
func (hs *holds) add(c calls.Call, k atHand, reserved bool) *hold {
	h := newHold(c, k)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.byID[h.id] = h
	if k.key != (callKey{}) {
		hs.byKey[k.key] = h
	} else if c.Open() {
		alike := likeness(c.Intent)
		hs.unnamed[alike] = append(hs.unnamed[alike], h)
	}
	if !c.Open() {
		hs.ended = append(hs.ended, h)
		return h
	}
	hs.open[h.id] = h
	if !reserved {
		hs.count(h.caller, 1)
	}
	if c.State == calls.Held {
		heap.Push(&hs.due, deadline{h, c.Deadline()})
	}
	return h
}

// rekey names the requests that mean h, once its arguments are known.
func (hs *holds) rekey(h *hold, key callKey) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h.key = key
	hs.byKey[key] = h
	hs.forgetUnnamed(h)
}

// likeness is what two calls have in common that may be the same, their arguments aside.
func likeness(in audit.Intent) string {
	return strings.Join([]string{callerOf(in.Identity), in.Tool, in.Definition, in.IdempotencyKey}, "\x00")
}

// alike are the open calls whose arguments tell whether they are the same as this one.
func (hs *holds) alike(in audit.Intent) []*hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return slices.Clone(hs.unnamed[likeness(in)])
}

// forgetUnnamed must be called with mu held.
func (hs *holds) forgetUnnamed(h *hold) {
	c, _ := h.snapshot()
	alike := likeness(c.Intent)
	left := slices.DeleteFunc(hs.unnamed[alike], func(o *hold) bool { return o == h })
	if hs.unnamed[alike] = left; len(left) == 0 {
		delete(hs.unnamed, alike)
	}
}

// lookAgain has h considered later. The times of one replica's calls of it grow.
func (hs *holds) lookAgain(h *hold, at time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.looks = append(hs.looks, deadline{h, at})
}

// toLookAt takes those that are to be considered now.
func (hs *holds) toLookAt(now time.Time) []*hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var due []*hold
	for len(hs.looks) > 0 && !hs.looks[0].at.After(now) {
		due = append(due, hs.looks[0].hold)
		hs.looks[0] = deadline{}
		hs.looks = hs.looks[1:]
	}
	return due
}

// end notes that h is closed.
func (hs *holds) end(h *hold) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.open[h.id] != h {
		return
	}
	delete(hs.open, h.id)
	if h.key == (callKey{}) {
		hs.forgetUnnamed(h)
	}
	hs.count(h.caller, -1)
	if h.place >= 0 {
		heap.Remove(&hs.due, h.place)
	}
	hs.ended = append(hs.ended, h)
}

// same finds the call that a repeated request means: held, running, or ended lately
// with an outcome that nobody has taken.
func (hs *holds) same(key callKey, now time.Time) *hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.byKey[key]
	if h == nil {
		return nil
	}
	if c, _ := h.snapshot(); !c.Open() && now.Sub(c.Closing.Time) > SameCallFor {
		delete(hs.byKey, key)
		return nil
	}
	return h
}

// take marks the outcome as given to its caller: the next equal request is a new call.
func (hs *holds) take(h *hold) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.unkey(h)
}

// unkey must be called with mu held.
func (hs *holds) unkey(h *hold) {
	if hs.byKey[h.key] == h {
		delete(hs.byKey, h.key)
	}
}

// list gives the holds that are not closed, the earliest deadline first.
func (hs *holds) list() []*hold {
	hs.mu.Lock()
	all := make([]deadline, 0, len(hs.open))
	for _, h := range hs.open {
		all = append(all, deadline{hold: h})
	}
	hs.mu.Unlock()
	for i := range all {
		c, _ := all[i].hold.snapshot()
		all[i].at = c.Deadline()
	}
	slices.SortFunc(all, deadline.compare)
	sorted := make([]*hold, len(all))
	for i, d := range all {
		sorted[i] = d.hold
	}
	return sorted
}

// voted lists the open holds that have approvals.
func (hs *holds) voted() []*hold {
	return slices.DeleteFunc(hs.list(), func(h *hold) bool {
		c, _ := h.snapshot()
		return len(c.Votes) == 0
	})
}

// released are the calls that may be running.
func (hs *holds) released() []calls.Call {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var released []calls.Call
	for _, h := range hs.open {
		if c, _ := h.snapshot(); c.State == calls.Released {
			released = append(released, c)
		}
	}
	return released
}

// overdue takes the next hold whose time is over; nil if there is none. It comes up
// again only after postpone.
func (hs *holds) overdue(now time.Time) *hold {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if len(hs.due) == 0 || !now.After(hs.due[0].at) {
		return nil
	}
	d, _ := heap.Pop(&hs.due).(deadline)
	return d.hold
}

// postpone makes h overdue again, unless it was closed meanwhile.
func (hs *holds) postpone(h *hold, at time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.open[h.id] == h && h.place < 0 {
		heap.Push(&hs.due, deadline{h, at})
	}
}

// forget drops calls that ended long ago, or too many of them.
func (hs *holds) forget(now time.Time) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for len(hs.ended) > 0 {
		h := hs.ended[0]
		c, _ := h.snapshot()
		if len(hs.ended) <= maxEnded && now.Sub(c.Closing.Time) <= keepFor {
			return
		}
		hs.ended[0] = nil
		hs.ended = hs.ended[1:]
		delete(hs.byID, h.id)
		hs.unkey(h)
	}
}
