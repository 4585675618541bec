package embedded

import (
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Bounds of the tail, and of what one read takes.
const (
	tailRecords  = 2048
	tailBytes    = 4 << 20
	batchRecords = 256
	batchBytes   = 1 << 20
)

// quietTime is how long those who follow the log may be left asleep when all that is
// new is quiet. To wake them costs as much as what they do with a record or two.
const quietTime = 10 * time.Millisecond

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

	bell   chan struct{} // guarded by bellMu; closed when there is more; nil if nobody waits
	bellMu sync.Mutex
	now    chan struct{} // holds one wish to ring
	soon   chan struct{} // holds one wish to ring within quietTime

	waiting      int // records added since the last wish for now; the writer's, as is the next
	waitingBytes int
}

func newTail(last int64) *tail {
	return &tail{first: last + 1, last: last, now: make(chan struct{}, 1), soon: make(chan struct{}, 1)}
}

func (t *tail) end() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.last
}

// add appends durable records. Whoever waits is woken by [tail.run], not by the
// writer, whose time is everyone's: soon if all of them are quiet.
func (t *tail) add(entries []entry, quiet bool) {
	t.mu.Lock()
	for _, e := range entries {
		t.waitingBytes += len(e.body)
		t.last = e.seq
		for t.first < e.seq && (e.seq-t.first >= tailRecords || t.bytes+len(e.body) > tailBytes) {
			t.dropOldest()
		}
		t.ring[e.seq%tailRecords] = e
		t.bytes += len(e.body)
	}
	t.mu.Unlock()
	t.waiting += len(entries)
	wish := t.soon
	if !quiet || t.waiting >= batchRecords || t.waitingBytes >= batchBytes {
		t.waiting, t.waitingBytes = 0, 0
		wish = t.now
	}
	select {
	case wish <- struct{}{}:
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

// run wakes those who wait when records were added, until stop is closed.
func (t *tail) run(stop <-chan struct{}) {
	defer t.wake()
	quiet := time.NewTimer(quietTime)
	defer quiet.Stop()
	for {
		select {
		case <-t.now:
		case <-t.soon:
			quiet.Reset(quietTime)
			select {
			case <-t.now:
			case <-quiet.C:
			case <-stop:
				return
			}
		case <-stop:
			return
		}
		t.wake()
	}
}
