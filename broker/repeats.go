package broker

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// maxKept bounds the ended calls of one caller that can be meant again, beside that
// they are forgotten after keepFor. The earliest goes first.
const maxKept = 10_000

// fingerprint tells arguments apart. It never leaves this process.
type fingerprint [sha256.Size]byte

// repeats are the calls that a request can mean again: those that were made with an
// idempotency key, those of tools whose calls are the same for a while, and tasks. They are a
// fold over the log, but for the calls that this replica is about to write.
type repeats struct {
	mu    sync.Mutex
	byID  map[string]*kept   // guarded by mu
	named map[string][]*kept // guarded by mu: by likeness, those that are meant, the earliest first
	over  map[string][]*kept // guarded by mu: by caller, those that have ended, in that order
	tasks map[string][]*kept // guarded by mu: by caller, those that are tasks
}

// kept is a call that can be meant again.
type kept struct {
	id   string
	like string        // likeness of what means it; empty if only its id does
	born chan struct{} // closed when its intent was read back, or will never be

	hold  *hold       // guarded by repeats.mu: nil until born, or if nothing became of it
	known bool        // guarded by repeats.mu: print is there
	print fingerprint // guarded by repeats.mu: of the arguments as its caller made them
}

func newRepeats() *repeats {
	return &repeats{byID: map[string]*kept{}, named: map[string][]*kept{}, over: map[string][]*kept{}, tasks: map[string][]*kept{}}
}

// likeOf is what requests have in common that mean the same call, their arguments aside.
// Without a key that is much, and the arguments tell.
func likeOf(in audit.Intent) string {
	return strings.Join([]string{callerOf(in.Identity), in.Tool, in.IdempotencyKey}, "\x00")
}

// claim finds the call that another of that likeness means. If there is none, the call id
// takes the place from now on: until it is dropped, or its end frees it. Without a key only
// calls with equal arguments are meant that were made since.
func (r *repeats) claim(id string, in audit.Intent, wanted fingerprint, since time.Time) (_ *kept, known, equal bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	like := likeOf(in)
	for _, k := range r.named[like] {
		if in.IdempotencyKey == "" && (k.known && k.print != wanted || k.before(since)) {
			continue
		}
		return k, k.known, k.print == wanted
	}
	k := &kept{id: id, like: like, born: make(chan struct{}), known: true, print: wanted}
	r.byID[id] = k
	r.named[like] = append(r.named[like], k)
	return nil, true, true
}

// before reports whether a call was made before a moment, and has ended. The caller holds repeats.mu.
func (k *kept) before(since time.Time) bool {
	if k.hold == nil {
		return false
	}
	c, _ := k.hold.snapshot()
	return !c.Open() && c.Opening.Time.Before(since)
}

// keep takes up a call by its id alone, before it is written.
func (r *repeats) keep(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[id] == nil {
		r.byID[id] = &kept{id: id, born: make(chan struct{})}
	}
}

// claimed reports whether a call is kept.
func (r *repeats) claimed(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id] != nil
}

// drop gives up what was claimed by a call that has not become an intent.
func (r *repeats) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byID[id]; k != nil && k.hold == nil {
		delete(r.byID, id)
		r.unname(k)
		close(k.born)
	}
}

// bear notes that a call's intent was read, here or elsewhere written. Byname says
// whether its likeness means it.
func (r *repeats) bear(h *hold, byName bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.byID[h.id]
	if k == nil {
		k = &kept{id: h.id, born: make(chan struct{})}
		r.byID[h.id] = k
	}
	if k.hold != nil {
		return
	}
	k.hold = h
	c, _ := h.snapshot()
	if !c.Intent.TaskUntil.IsZero() {
		r.tasks[h.caller] = append(r.tasks[h.caller], k)
	}
	if byName && k.like == "" {
		k.like = likeOf(c.Intent)
		r.named[k.like] = append(r.named[k.like], k)
	}
	close(k.born)
}

// end notes that a call is closed, and as what.
func (r *repeats) end(c calls.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.byID[c.ID]
	if k == nil {
		return
	}
	if frees(c) {
		r.unname(k)
	}
	caller := callerOf(c.Intent.Identity)
	r.over[caller] = append(r.over[caller], k)
	if len(r.over[caller]) > maxKept {
		r.forgetFirst(caller)
	}
}

// free lets the likeness of a call mean another one.
func (r *repeats) free(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byID[id]; k != nil {
		r.unname(k)
	}
}

// frees reports whether a call has ended without an effect and without an answer of
// people: what repeats it is then a call of its own.
func frees(c calls.Call) bool {
	switch c.Closing.Type {
	case audit.CallCancelled, audit.CallExpired:
		return true
	case audit.CallFailed: // it was not sent
		return c.Outcome.Output == nil && (c.Outcome.Code == audit.CodeUpstreamError || c.Outcome.Code == audit.CodeCredential)
	case audit.CallUnknown:
		return c.Reconciled != nil && !c.Reconciled.Happened
	default:
		return false
	}
}

// unname must be called with mu held.
func (r *repeats) unname(k *kept) {
	left := r.named[k.like][:0:0]
	for _, o := range r.named[k.like] {
		if o != k {
			left = append(left, o)
		}
	}
	if r.named[k.like] = left; len(left) == 0 {
		delete(r.named, k.like)
	}
}

// forgetFirst must be called with mu held.
func (r *repeats) forgetFirst(caller string) {
	k := r.over[caller][0]
	r.over[caller][0] = nil
	if r.over[caller] = r.over[caller][1:]; len(r.over[caller]) == 0 {
		delete(r.over, caller)
	}
	delete(r.byID, k.id)
	r.unname(k)
	if r.tasks[caller] = slices.DeleteFunc(r.tasks[caller], func(o *kept) bool { return o == k }); len(r.tasks[caller]) == 0 {
		delete(r.tasks, caller)
	}
}

// forget drops the calls that ended long ago.
func (r *repeats) forget(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for caller := range r.over {
		for len(r.over[caller]) > 0 {
			c, _ := r.over[caller][0].hold.snapshot()
			if now.Sub(c.Closing.Time) <= keepFor {
				break
			}
			r.forgetFirst(caller)
		}
	}
}

// printed notes the arguments of a call that were read from the log.
func (r *repeats) printed(k *kept, read fingerprint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k.known, k.print = true, read
}

// get is a call that is kept; nil if it is not, or not yet.
func (r *repeats) get(id string) *hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byID[id]; k != nil {
		return k.hold
	}
	return nil
}

// rivals are the other calls that a call's likeness means.
func (r *repeats) rivals(id string) []*hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	var others []*hold
	if k := r.byID[id]; k != nil {
		for _, o := range r.named[k.like] {
			if o != k && o.hold != nil {
				others = append(others, o.hold)
			}
		}
	}
	return others
}
