package pulsar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
)

// writer writes the events of one partition, by one producer at a time. When that
// fails it is given up, since whatever it would send after that could leave a gap, and
// another one takes its place.
type writer struct {
	partition *partition
	name      string // of its producers: the source of the replica in whose name it writes
	lease     *lease // lost when another process has taken that name
	// takesTurns says that others write the partition before and after it, and it alone
	// meanwhile: see inTurn.
	takesTurns bool

	mu      sync.Mutex
	runs    map[string]bool     // guarded by mu: its lives, by their runs
	since   *messageID          // guarded by mu: the last message when it was opened first; nil before
	next    int64               // guarded by mu: no number was sent that is as high
	raise   int64               // guarded by mu: how much higher the next run begins than it would
	life    *life               // guarded by mu; nil while there is no producer
	opening bool                // guarded by mu
	lastTry time.Time           // guarded by mu: to open one
	cause   error               // guarded by mu: why there is none
	queue   []*sending          // guarded by mu: those that Pulsar has not answered, the oldest first
	waiting map[string]*sending // guarded by mu: those that the tail has not come to, by event
	closed  bool                // guarded by mu
}

// life is what one producer does from its opening to its end.
type life struct {
	producer pulsar.Producer
	run      string
	base     int64                 // number of its first message, for deduplication
	number   int64                 // of its next message, from 0
	failed   atomic.Pointer[error] // what one of its messages was answered
}

// sending is an event on its way.
type sending struct {
	event string
	by    *life
	since time.Time
	acked chan struct{} // closed when Pulsar has answered
	id    messageID     // where it stands; set before acked is closed, as is err
	err   error
	met   chan struct{} // closed when the tail has come to it
	index int64         // its record; set before met is closed
	first bool          // of its run
}

// retryOpen is how long after one attempt to open a producer the next one is made.
const retryOpen = time.Second

// maxPending is how many messages a producer holds at most. It never comes to that:
// what is on its way is bounded by its bytes.
const maxPending = 100_000

func newWriter(p *partition, name string, l *lease) *writer {
	return &writer{partition: p, name: name, lease: l, runs: map[string]bool{}, waiting: map[string]*sending{}}
}

// open makes a producer. Its name is free once Pulsar has noticed that whoever had it
// before is gone.
func (w *writer) open(ctx context.Context) error {
	o := pulsar.ProducerOptions{
		Topic: w.partition.place.name, DisableBatching: true, SendTimeout: -1, BackOffPolicyFunc: soon,
	}
	if w.takesTurns {
		o = inTurn(w.partition.place.name)
	}
	o.Name, o.MaxPendingMessages, o.DisableMultiSchema = w.name, maxPending, true
	producer, err := w.partition.log.newProducer(ctx, o)
	var since *messageID
	if err == nil {
		if since, err = w.look(ctx); err != nil {
			producer.Close()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastTry, w.cause, w.opening = time.Now(), err, false
	switch {
	case err != nil:
		return err
	case w.closed:
		producer.Close()
		return errClosed
	}
	if w.since == nil {
		w.since = since
	}
	w.life = w.begin(producer)
	return nil
}

// send hands an event to the client, and calls done when Pulsar has answered. What it
// answered is told by the sending; an error says that nothing was sent.
func (w *writer) send(ctx context.Context, e audit.Event, body []byte, done func()) (*sending, error) {
	m := &pulsar.ProducerMessage{Payload: body, Key: keyOf(e), Properties: envelope(e), EventTime: e.Time}
	s := &sending{event: e.ID, since: time.Now(), acked: make(chan struct{}), met: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.usable() //nolint:contextcheck // another producer is for others too
	if _, twice := w.waiting[e.ID]; twice && err == nil {
		err = fmt.Errorf("event %s is being written already", e.ID)
	}
	if err != nil {
		done()
		return nil, err
	}
	l := w.life
	s.by, s.first = l, l.number == 0
	numbered(m.Properties, l.run, l.number)
	m.SequenceID = new(l.base + l.number)
	l.number++
	w.next = l.base + l.number
	w.queue, w.waiting[e.ID] = append(w.queue, s), s
	// The client numbers messages for deduplication in the order in which it gets
	// them, so the lock is held. It does not wait: there is room for all there can be.
	l.producer.SendAsync(context.WithoutCancel(ctx), m, func(id pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
		defer done()
		if err != nil {
			l.failed.CompareAndSwap(nil, &err)
		}
		if err == nil && id.LedgerID() < 0 && w.partition.log.spawn(func() { w.decide(l, s, id) }) {
			return
		}
		s.settle(id, err)
	})
	return s, nil
}

// settle notes Pulsar's answer. Of a message that was sent again, and had been stored,
// it does not say where it stands: the tail will.
func (s *sending) settle(id pulsar.MessageID, err error) {
	if s.err = err; err == nil {
		s.id = messageID{id.LedgerID(), id.EntryID()}
	}
	close(s.acked)
}

func (s *sending) isMet() bool {
	select {
	case <-s.met:
		return true
	default:
		return false
	}
}

func (s *sending) isAnswered() bool {
	select {
	case <-s.acked:
		return true
	default:
		return false
	}
}

// isPlaced reports whether Pulsar has said where the answered message stands.
func (s *sending) isPlaced() bool { return s.id.ledger >= 0 && s.id.entry >= 0 }

// usable says why no event can be sent now. Call it with mu held.
func (w *writer) usable() error {
	if w.lease.isLost() {
		return audit.ErrFenced
	}
	if err := w.partition.failure(); err != nil {
		return err
	}
	w.settleQueue()
	if s := w.oldest(); s != nil {
		if waits := time.Since(s.since); waits > w.partition.log.options.Patience {
			err := fmt.Errorf("%w: Pulsar has not acknowledged for %v", audit.ErrUnavailable, waits.Round(time.Second))
			if !w.takesTurns || w.life == nil {
				return err
			}
			w.retire(err)
		}
	}
	if w.life != nil {
		failed := w.life.failed.Load()
		if failed == nil {
			return nil
		}
		w.retire(*failed)
	}
	if w.takesTurns { // its turn is over
		return fmt.Errorf("%w: %w", audit.ErrFenced, w.cause)
	}
	w.reopen()
	if w.cause != nil {
		return w.cause
	}
	return errReopening
}

// oldest is what Pulsar has not answered for the longest. What was sent in a turn that is
// over does not count. Call it with mu held.
func (w *writer) oldest() *sending {
	for _, s := range w.queue {
		if !w.takesTurns || s.by == w.life {
			return s
		}
	}
	return nil
}

// errReopening passes soon.
var errReopening = fmt.Errorf("%w: the producer is being opened", audit.ErrUnavailable)

// settleQueue takes out what has been answered.
func (w *writer) settleQueue() {
	n := 0
	for n < len(w.queue) && w.queue[n].isAnswered() {
		if s := w.queue[n]; s.err != nil { // the tail will not come to it, or it may for all we know
			delete(w.waiting, s.event)
		}
		w.queue[n] = nil
		n++
	}
	w.queue = w.queue[n:]
}

// retire ends a producer that failed.
func (w *writer) retire(cause error) {
	old := w.life.producer
	w.life, w.cause = nil, meaning(cause)
	w.opening = true // until it is closed
	w.partition.log.spawn(func() {
		old.Close()
		w.mu.Lock()
		w.opening = false
		w.mu.Unlock()
	})
}

// reopen makes another producer in the background, unless that is being tried.
func (w *writer) reopen() {
	if w.opening || w.closed || time.Since(w.lastTry) < retryOpen {
		return
	}
	w.opening = true
	log := w.partition.log
	log.spawn(func() {
		ctx, cancel := context.WithTimeout(log.ctx, log.options.OpenWait)
		defer cancel()
		_ = w.open(ctx) // noted as the cause
	})
}

// met tells who waits for an event where it stands. A message under the writer's name
// that is of none of its runs was written by whoever has taken the name.
func (w *writer) met(run, event string, id messageID, index int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.runs[run] && w.since != nil && w.since.before(id) {
		w.lease.lose()
	}
	if s := w.waiting[event]; s != nil {
		s.index = index
		close(s.met)
		delete(w.waiting, event)
	}
}

// stored returns nil once the event is durable.
func (w *writer) stored(ctx context.Context, s *sending) error {
	select {
	case <-s.acked:
	case <-s.met:
		return nil
	case <-w.lease.lost:
		if s.isMet() || s.isAnswered() && s.err == nil && s.isPlaced() {
			return nil
		}
		return audit.ErrFenced
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", audit.ErrUncertain, ctx.Err())
	}
	switch {
	case s.err != nil:
		return uncertain(s.err)
	case s.isPlaced(), s.isMet():
		return nil
	default: // the log is being closed
		return fmt.Errorf("%w: Pulsar has it for a duplicate", audit.ErrUncertain)
	}
}

// await returns the index of an event once it is stored.
func (w *writer) await(ctx context.Context, s *sending) (int64, error) {
	select {
	case <-s.acked:
	case <-s.met: // before its acknowledgement came
		return s.index, nil
	case <-w.lease.lost:
		if s.isMet() {
			return s.index, nil
		}
		return 0, audit.ErrFenced
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: %w", audit.ErrUncertain, ctx.Err())
	}
	if s.err != nil {
		return 0, uncertain(s.err)
	}
	if s.isPlaced() {
		if index, ok := w.partition.tree.indexOf(s.id); ok {
			return index, nil
		}
	}
	select {
	case <-s.met:
		return s.index, nil
	case <-w.lease.lost:
		return 0, audit.ErrFenced
	case <-ctx.Done():
		return 0, fmt.Errorf("%w: it was acknowledged, but not read back: %w", audit.ErrUncertain, ctx.Err())
	}
}

// uncertain is the error of a message that the client has had: it may have been stored
// before whatever happened, unless it was too large to be sent.
func uncertain(err error) error {
	if errors.Is(err, pulsar.ErrMessageTooLarge) {
		return meaning(err)
	}
	return &uncertainError{cause: meaning(err)}
}

// uncertainError hides the ErrUnavailable in what it is caused by: that would say that
// nothing was stored.
type uncertainError struct{ cause error }

func (e *uncertainError) Error() string { return audit.ErrUncertain.Error() + ": " + e.cause.Error() }

func (e *uncertainError) Is(target error) bool {
	switch target {
	case audit.ErrUncertain:
		return true
	case audit.ErrUnavailable, audit.ErrFull:
		return false
	default:
		return errors.Is(e.cause, target)
	}
}

// trouble is since when an event waits for an answer, zero if none does, and why there
// is no producer.
func (w *writer) trouble() (since time.Time, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settleQueue()
	if len(w.queue) > 0 {
		since = w.queue[0].since
	}
	if w.life == nil {
		cause = w.cause
	} else if failed := w.life.failed.Load(); failed != nil {
		cause = meaning(*failed)
	}
	return since, cause
}

// close ends the producer; what was not acknowledged stays uncertain.
func (w *writer) close() {
	w.mu.Lock()
	l := w.life
	w.life, w.cause, w.closed = nil, errClosed, true
	w.mu.Unlock()
	if l != nil {
		l.producer.Close()
	}
}
