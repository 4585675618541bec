package pulsar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
)

// What keeps an older process of the same name from writing is Pulsar's deduplication:
// each run numbers its messages from a base that is higher than every number that was
// sent under the name before. Once one of them is stored, Pulsar takes whatever an older
// run still sends in that partition for a duplicate. That the base comes from the clock
// is a guess: where it is too low Pulsar drops the first message, which shows, and the
// next run begins higher.

// beginRun is the base of a run that begins now: 2^20 numbers for each millisecond.
func beginRun() int64 { return time.Now().UnixMilli() << 20 }

// Where the clock was set back the base is raised, at first by about an hour.
const (
	firstRaise = int64(time.Hour/time.Millisecond) << 20
	maxRaise   = int64(1) << 61
)

// errDropped says that Pulsar has a message for a duplicate that it never stored.
var errDropped = errors.New("Pulsar dropped the message: its number is not higher than those before") //nolint:staticcheck // a name

// begin makes the next life of the writer. Call it with mu held.
func (w *writer) begin(producer pulsar.Producer) *life {
	l := &life{producer: producer, run: uuid.NewString(), base: max(beginRun(), w.next) + w.raise}
	w.runs[l.run] = true
	return l
}

// look finds where the partition ends now that its name is the writer's. A writer that
// was open before first reads what was written meanwhile, to learn whether another
// process had the name.
func (w *writer) look(ctx context.Context) (*messageID, error) {
	w.mu.Lock()
	again := w.since != nil
	w.mu.Unlock()
	if again {
		if err := w.partition.readOn(ctx); err != nil {
			return nil, err
		}
		if w.lease.isLost() {
			return nil, audit.ErrFenced
		}
		return nil, nil
	}
	end, some, err := w.partition.end(ctx)
	if !some {
		end = messageID{-1, -1}
	}
	return &end, err
}

// decide finds out what it means that Pulsar calls a message a duplicate: it was stored
// when it was sent before, and the tail comes to it; or it was dropped, since its number
// is too low.
func (w *writer) decide(l *life, s *sending, id pulsar.MessageID) {
	if err := w.partition.readOn(w.partition.log.ctx); err != nil {
		s.settle(id, err)
		return
	}
	if s.isMet() {
		s.settle(id, nil)
		return
	}
	dropped := fmt.Errorf("%w: %w", audit.ErrUncertain, errDropped)
	l.failed.CompareAndSwap(nil, &dropped)
	if s.first {
		w.mu.Lock()
		w.raise = min(max(firstRaise, 2*w.raise), maxRaise)
		w.mu.Unlock()
	}
	s.settle(id, dropped)
}

// opened waits until the writer has a producer, or a reason to have none.
func (w *writer) opened(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		w.mu.Lock()
		err := w.usable() //nolint:contextcheck // a producer is opened for as long as the log is open
		w.mu.Unlock()
		if !errors.Is(err, errReopening) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
}

// lease is the right to write in a replica's name.
type lease struct {
	once sync.Once
	lost chan struct{}
}

func newLease() *lease { return &lease{lost: make(chan struct{})} }

func (l *lease) lose() { l.once.Do(func() { close(l.lost) }) }

func (l *lease) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}
