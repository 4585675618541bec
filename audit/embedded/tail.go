package embedded

import (
	"sync"

	"github.com/deedbroker/deed/audit"
)

// Bounds of the tail, and of what one read takes.
const (
	tailRecords  = 2048
	tailBytes    = 4 << 20
	batchRecords = 256
	batchBytes   = 1 << 20
)

// entry is a stored record as it goes to readers. Its body is never changed.
type entry struct {
	seq      int64
	position audit.Position
	body     []byte
}

func (e entry) record() audit.Record {
	return audit.Record{Position: e.position, Next: cursorAfter(e.seq), Stored: e.body}
}

// tail is the newest records, kept in memory so that those who follow the log do
// not read each of them back from the file, and the bell that wakes them.
type tail struct {
	mu    sync.RWMutex
	ring  [tailRecords]entry // guarded by mu; the record seq stands at seq % tailRecords
	first int64              // guarded by mu: the oldest seq in the ring
	last  int64              // guarded by mu: the newest durable seq
	bytes int                // guarded by mu: of the bodies in the ring

	bell     chan struct{} // guarded by bellMu; closed when there is more; nil if nobody waits
	bellMu   sync.Mutex
	ringBell chan struct{} // holds one wish to ring
}

func newTail(last int64) *tail {
	return &tail{first: last + 1, last: last, ringBell: make(chan struct{}, 1)}
}

func (t *tail) end() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// add appends durable records. Whoever waits is woken by [tail.run], not by the
// writer, whose time is everyone's.
func (t *tail) add(entries []entry) {
	t.mu.Lock()
	for _, e := range entries {
		t.last = e.seq
		for t.first < e.seq && (e.seq-t.first >= tailRecords || t.bytes+len(e.body) > tailBytes) {
			t.dropOldest()
		}
		t.ring[e.seq%tailRecords] = e
		t.bytes += len(e.body)
	}
	t.mu.Unlock()
	select {
	case t.ringBell <- struct{}{}:
	default:
	}
}

func (t *tail) dropOldest() {
	old := &t.ring[t.first%tailRecords]
	t.bytes -= len(old.body)
	*old = entry{}
	t.first++
}

// after copies records with seq in (seq, end] to out; covered tells whether the
// tail reaches back that far.
func (t *tail) after(seq, end int64, out []entry) (_ []entry, covered bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if seq+1 < t.first {
		return out, false
	}
	for next := seq + 1; next <= min(t.last, end) && len(out) < batchRecords; next++ {
		out = append(out, t.ring[next%tailRecords])
	}
	return out, true
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

func (t *tail) wake() {
	t.bellMu.Lock()
	bell := t.bell
	t.bell = nil
	t.bellMu.Unlock()
	if bell != nil {
		close(bell)
	}
}

// run wakes those who wait whenever records were added, until stop is closed.
func (t *tail) run(stop <-chan struct{}) {
	for {
		select {
		case <-t.ringBell:
			t.wake()
		case <-stop:
			t.wake()
			return
		}
	}
}
