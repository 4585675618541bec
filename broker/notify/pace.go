package notify

import (
	"context"
	"time"

	"github.com/deedbroker/deed/audit"
)

const (
	quiet     = 250 * time.Millisecond // without a record: there are no more for now
	lookEvery = 64                     // records: how often one is asked for its time
)

// What was held while the broker was away may be decided by now. So nothing is told before
// the log has been read up to where it was at the start: until it is quiet for a moment, or
// a record is younger than this process.

// pace looks at the time of a record now and then. The caller holds mu.
func (n *Notifier) pace(rec audit.Record) {
	if n.read++; n.caught || n.read%lookEvery != 0 {
		return
	}
	if e, err := rec.Event(); err == nil && e.Time.After(n.begun) {
		n.letGo()
	}
}

// letGo lets the channels begin. The caller holds mu.
func (n *Notifier) letGo() {
	if !n.caught {
		n.caught = true
		close(n.ready)
	}
}

// settle waits for a quiet moment.
func (n *Notifier) settle(ctx context.Context) {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for before := int64(-1); ; {
		select {
		case <-tick.C:
		case <-n.ready:
			return
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		if n.read == before {
			n.letGo()
		}
		before = n.read
		n.mu.Unlock()
	}
}
