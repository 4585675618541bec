package live

import (
	"context"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// tail is the newest records, numbered from 1 in the order in which the follower
// read them, and the bell that wakes those who wait for more.
type tail struct {
	maxBytes int

	mu     sync.RWMutex
	ring   []*frame     // guarded by mu; frame n stands at n % len
	first  uint64       // guarded by mu: the oldest in the ring
	last   uint64       // guarded by mu: the newest
	rung   uint64       // guarded by mu: the newest when the bell rang last
	bytes  int          // guarded by mu
	before audit.Cursor // guarded by mu: the place before first

	bellMu sync.Mutex
	bell   chan struct{} // guarded by bellMu; closed when there is more; nil if nobody waits
	dirty  chan struct{} // holds one wish to ring
}

func newTail(start audit.Cursor, l Limits) *tail {
	return &tail{maxBytes: l.TailBytes, ring: make([]*frame, l.TailRecords), first: 1, before: start, dirty: make(chan struct{}, 1)}
}

func (t *tail) add(f *frame) {
	t.mu.Lock()
	size := uint64(len(t.ring))
	for t.first <= t.last && (t.last+1-t.first >= size || t.bytes+len(f.stored) > t.maxBytes) {
		oldest := t.ring[t.first%size]
		t.bytes -= len(oldest.stored)
		t.before = oldest.next
		t.ring[t.first%size] = nil
		t.first++
	}
	t.last++
	t.ring[t.last%size] = f
	t.bytes += len(f.stored)
	t.mu.Unlock()
	select {
	case t.dirty <- struct{}{}:
	default:
	}
}

// after copies frames that come after n to out, those that the bell has rung for if
// rung is set: so that all who wake by it get the same. Ok is false when they are gone.
func (t *tail) after(n uint64, rung bool, out []*frame) (_ []*frame, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n+1 < t.first {
		return out, false
	}
	last := t.last
	if rung {
		last = t.rung
	}
	for n < last && len(out) < cap(out) {
		n++
		out = append(out, t.ring[n%uint64(len(t.ring))])
	}
	return out, true
}

// end is the number of the newest record, and the cursor after it.
func (t *tail) end() (uint64, audit.Cursor) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.last < t.first {
		return t.last, t.before
	}
	return t.last, t.ring[t.last%uint64(len(t.ring))].next
}

// start is the number before the oldest record.
func (t *tail) start() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.first - 1
}

// find is the number of the record that a cursor stands behind, if the tail goes on from there.
func (t *tail) find(c audit.Cursor) (uint64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for n := t.last; n >= t.first; n-- {
		if t.ring[n%uint64(len(t.ring))].next == c {
			return n, true
		}
	}
	return t.first - 1, c == t.before
}

// wait returns a channel that is closed when records are added after this call.
func (t *tail) wait() <-chan struct{} {
	t.bellMu.Lock()
	defer t.bellMu.Unlock()
	if t.bell == nil {
		t.bell = make(chan struct{})
	}
	return t.bell
}

// ringBell wakes all who wait, at once when it has been quiet, and then at most once
// in every interval of then, until ctx is done.
func (t *tail) ringBell(ctx context.Context, every func() time.Duration) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		select {
		case <-t.dirty:
		case <-ctx.Done():
			return
		}
		t.mu.Lock()
		t.rung = t.last
		t.mu.Unlock()
		t.bellMu.Lock()
		bell := t.bell
		t.bell = nil
		t.bellMu.Unlock()
		if bell != nil {
			close(bell)
		}
		pause.Reset(every())
	}
}
