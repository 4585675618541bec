package pulsar

import (
	"math"
	"sort"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// entry is a record in memory. It is not changed once it is there.
type entry struct {
	index      int64
	id         messageID
	at         time.Time
	body       []byte
	run        string
	payloads   bool // it says that it has some
	mismatches []audit.Mismatch
}

// record gives an entry away, with bytes of its own.
func (e *entry) record(log string, next audit.Cursor) audit.Record {
	return audit.Record{
		Position: audit.Position{Log: log, Index: e.index}, Next: next,
		Stored: append([]byte(nil), e.body...), Mismatches: e.mismatches,
	}
}

// ring has the newest records of a partition, without a gap in its order.
type ring struct {
	mu      sync.RWMutex
	entries []*entry // guarded by mu
	bytes   int      // guarded by mu: of their bodies
	full    bool     // guarded by mu: it has dropped some
}

func (r *ring) add(batch []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range batch {
		r.entries = append(r.entries, e)
		r.bytes += len(e.body)
	}
	if len(r.entries) <= 2*ringRecords && r.bytes <= 2*ringBytes {
		return
	}
	drop := 0
	for len(r.entries)-drop > ringRecords || r.bytes > ringBytes && len(r.entries)-drop > 1 {
		r.bytes -= len(r.entries[drop].body)
		drop++
	}
	r.full = true
	r.entries = append(make([]*entry, 0, 2*ringRecords), r.entries[drop:]...)
}

// after returns the records after index, at most n; -1 is the beginning. Covered is
// false if the ring may not have all of them any more.
func (r *ring) after(index int64, n int, reuse []*entry) (found []*entry, covered bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.entries) == 0 || index < r.entries[0].index-1 {
		return reuse, false
	}
	from := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].index > index })
	return append(reuse, r.entries[from:min(len(r.entries), from+n)]...), true
}

// room is how many records stay in the ring: unlimited as long as it has dropped none.
func (r *ring) room() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.full {
		return math.MaxInt64
	}
	return min(ringRecords, int64(len(r.entries)))
}

// get is the record with an index, if it is there.
func (r *ring) get(index int64) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].index >= index })
	if i < len(r.entries) && r.entries[i].index == index {
		return r.entries[i]
	}
	return nil
}
