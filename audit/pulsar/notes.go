package pulsar

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// note is what the payloads of a record are found by.
type note struct {
	event, key, domain string
	at                 time.Time // when Pulsar took the record
	run                string    // that wrote it
	payloads           bool      // it says that it has some
}

// noteOf notes a record by its event.
func (p *partition) noteOf(r *entry, e audit.Event) note {
	n := note{event: e.ID, key: keyOf(e), domain: e.Domain, at: r.at, run: r.run, payloads: r.payloads}
	if n.domain == p.place.domain {
		n.domain = p.place.domain // one text for all
	}
	return n
}

// notes are the notes of the records of a partition that were read last. Whoever reads
// records asks for their payloads soon, and must not have each read again for that: one
// message by itself costs a reader, thousands of them more than all else.
type notes struct {
	mu    sync.Mutex
	known map[int64]note // guarded by mu: by index
	order []int64        // guarded by mu: the indexes, a ring once it is full
	next  int            // guarded by mu: the oldest in a full one
}

const maxNotes = 16 << 10

func (n *notes) add(index int64, one note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[int64]note{}
	}
	if _, twice := n.known[index]; twice {
		return
	}
	n.known[index] = one
	if len(n.order) < maxNotes {
		n.order = append(n.order, index)
		return
	}
	delete(n.known, n.order[n.next])
	n.order[n.next] = index
	n.next = (n.next + 1) % maxNotes
}

func (n *notes) get(index int64) (note, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	one, known := n.known[index]
	return one, known
}

// noteAt is the note of a record, which is read again if it is not known any more.
func (l *Log) noteAt(ctx context.Context, at audit.Position) (note, *partition, error) {
	if p := l.partition(at.Log); p != nil {
		for _, some := range []*notes{&p.noted, &p.again} {
			if n, known := some.get(at.Index); known {
				return n, p, nil
			}
		}
	}
	e, p, err := l.entryAt(ctx, at)
	if err != nil {
		return note{}, nil, err
	}
	if !e.payloads {
		return note{}, nil, audit.ErrNotFound
	}
	event, err := audit.PeekEvent(e.body)
	if err != nil {
		return note{}, nil, fmt.Errorf("%w: %w", audit.ErrNotFound, err)
	}
	n := p.noteOf(e, event)
	p.again.add(at.Index, n)
	return n, p, nil
}
