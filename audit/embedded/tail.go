package embedded

import (
	"bytes"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// Bounds of the tail, and of what one read takes.
const (
	tailRecords  = 4096
	tailBytes    = 8 << 20
	maxKept      = 64 << 10 // of one payload
	batchRecords = 256
	batchBytes   = 1 << 20
)

// entry is a stored record as it goes to readers. Its body is never changed.
type entry struct {
	seq      int64
	position audit.Position
	body     []byte
	payloads []audit.Payload // in the tail only
}

// size is what the entry keeps in memory, without its own fields.
func (e entry) size() int {
	n := len(e.body)
	for _, p := range e.payloads {
		n += len(p.Body)
	}
	return n
}

func (e entry) record() audit.Record {
	return audit.Record{Position: e.position, Next: cursorAfter(e.seq), Stored: e.body}
}

// kept are payloads as they go into the tail: copies, since they belong to whoever
// appended them, and only if they are small.
func kept(payloads []audit.Payload) []audit.Payload {
	var out []audit.Payload
	for _, p := range payloads {
		if len(p.Body) <= maxKept {
			p.Salt, p.Body = bytes.Clone(p.Salt), bytes.Clone(p.Body)
			out = append(out, p)
		}
	}
	return out
}

// tail is the newest records, kept in memory so that those who follow the log do
// not read each of them back from the file, and the bell that wakes them.
type tail struct {
	mu    sync.RWMutex
	ring  [tailRecords]entry       // guarded by mu; the record seq stands at seq % tailRecords
	first int64                    // guarded by mu: the oldest seq in the ring
	last  int64                    // guarded by mu: the newest durable seq
	bytes int                      // guarded by mu: of the entries in the ring
	at    map[audit.Position]int64 // guarded by mu: the seq of those with payloads

	bell     chan struct{} // guarded by bellMu; closed when there is more; nil if nobody waits
	bellMu   sync.Mutex
	ringBell chan struct{} // holds one wish to ring
}

func newTail(last int64) *tail {
	return &tail{first: last + 1, last: last, at: map[audit.Position]int64{}, ringBell: make(chan struct{}, 1)}
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
		size := e.size()
		for t.first < e.seq && (e.seq-t.first >= tailRecords || t.bytes+size > tailBytes) {
			t.dropOldest()
		}
		t.ring[e.seq%tailRecords] = e
		t.bytes += size
		if len(e.payloads) > 0 {
			t.at[e.position] = e.seq
		}
	}
	t.mu.Unlock()
	select {
	case t.ringBell <- struct{}{}:
	default:
	}
}

func (t *tail) dropOldest() {
	old := &t.ring[t.first%tailRecords]
	t.bytes -= old.size()
	if len(old.payloads) > 0 {
		delete(t.at, old.position)
	}
	*old = entry{}
	t.first++
}

// payload finds a payload in the tail.
func (t *tail) payload(p audit.Position, name string) (audit.Payload, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	seq, ok := t.at[p]
	if !ok {
		return audit.Payload{}, false
	}
	for _, payload := range t.ring[seq%tailRecords].payloads {
		if payload.Name == name {
			payload.Salt, payload.Body = bytes.Clone(payload.Salt), bytes.Clone(payload.Body)
			return payload, true
		}
	}
	return audit.Payload{}, false
}

// forget drops the payloads of the record at p, which the file is then asked for.
func (t *tail) forget(p audit.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seq, ok := t.at[p]
	if !ok {
		return
	}
	delete(t.at, p)
	e := &t.ring[seq%tailRecords]
	t.bytes -= e.size()
	e.payloads = nil
	t.bytes += e.size()
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
