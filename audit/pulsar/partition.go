package pulsar

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// partition is one log: its tree, its newest records, and the reader that follows it.
type partition struct {
	place      place
	partitions int // of its topic
	log        *Log
	tree       *tree
	ring       ring
	noted      notes // of what the tail read last
	again      notes // of what others read last, who are further behind
	writer     *writer

	mu     sync.Mutex
	places map[string]*writer   // guarded by mu: in the names of others, by these
	feed   *feed                // guarded by mu: the tail's
	broken error                // guarded by mu: why it follows no more
	ends   map[string]time.Time // guarded by mu: the tail's newest message of each run
}

// openTail starts to read after the records that the tree has. Where the topic is not
// the one that the tree is of, the tree begins again.
func (p *partition) openTail(ctx context.Context) error {
	last, some := p.tree.end()
	if some {
		same, err := p.sameTopic(ctx, last)
		if err != nil {
			return err
		}
		if !same {
			if err := p.tree.reset(); err != nil {
				return err
			}
			some = false
		}
	}
	f, err := p.log.newFeed(ctx, readerOptions(p.place, last, some))
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.feed = f
	p.mu.Unlock()
	return nil
}

// readerOptions begin after a mark, or at the beginning. The message at the mark is
// read again: it may be one of a batch.
func readerOptions(p place, after mark, some bool) pulsar.ReaderOptions {
	o := pulsar.ReaderOptions{Topic: p.name, StartMessageID: pulsar.EarliestMessageID(), SubscriptionRolePrefix: "deed"}
	if some {
		o.StartMessageID = pulsar.NewMessageID(after.id.ledger, after.id.entry, -1, -1)
		o.StartMessageIDInclusive = true
	}
	return o
}

// sameTopic reports whether the topic still has the record that the tree ends with. One
// that retention has removed since is taken for it.
func (p *partition) sameTopic(ctx context.Context, last mark) (_ bool, err error) {
	m, err := p.log.readAt(ctx, p.place, last.id)
	if errors.Is(err, audit.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if m.index != last.index {
		return m.index > last.index, nil
	}
	leaf, err := p.tree.leaf(last.index)
	return err == nil && leaf == tlog.RecordHash(m.Payload()), nil
}

// follow reads what anybody writes until ctx is done or the topic cannot be read.
func (p *partition) follow(ctx context.Context) {
	f := p.tail()
	messages := make(chan received, tailBatch)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(messages)
		for {
			m, some, err := f.next(ctx)
			if err != nil {
				p.stop(err)
				return
			}
			if !some {
				continue
			}
			select {
			case messages <- m:
			case <-ctx.Done():
				return
			}
		}
	})
	defer reading.Wait()
	after := int64(-1)
	if last, some := p.tree.end(); some {
		after = last.index
	}
	check := newChecker(p.place, p.partitions, after)
	for m := range messages {
		if err := p.take(check, collect(m, messages)); err != nil {
			p.stop(err)
			return
		}
	}
}

// tailBatch is how many records the tail takes at once.
const tailBatch = 256

// collect takes what else has come.
func collect(first received, messages <-chan received) []received {
	batch := []received{first}
	for len(batch) < tailBatch {
		select {
		case m, ok := <-messages:
			if !ok {
				return batch
			}
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

var errNoIndex = errors.New("its messages have no index: the brokers need exposingBrokerEntryMetadataToClientEnabled and the interceptors for broker entry metadata")

// take puts messages into the tree and the ring, and tells those who wait.
func (p *partition) take(check *checker, batch []received) error {
	entries := make([]*entry, 0, len(batch))
	for _, m := range batch {
		switch {
		case m.index < 0:
			return fmt.Errorf("read %s: %w", p.place.name, errNoIndex)
		case m.index <= check.last: // read again
			continue
		}
		event, err := audit.PeekEvent(m.Payload())
		e := m.entry(check.check(m, event, err))
		if err := p.tree.add(e.index, e.id, tlog.RecordHash(e.body)); err != nil {
			return err
		}
		if w := p.writerOf(m.ProducerName()); w != nil {
			w.met(m.Properties()[propertyRun], event.ID, e.id, e.index)
		}
		p.heard(e)
		if e.payloads && err == nil {
			p.noted.add(e.index, p.noteOf(e, event))
		}
		entries = append(entries, e)
	}
	p.ring.add(entries)
	p.log.bell.ring()
	return p.tree.flush()
}

// writerOf is this process's writer in a replica's name, if there is one.
func (p *partition) writerOf(name string) *writer {
	if p.writer != nil && name == p.writer.name {
		return p.writer
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places[name]
}

// readOn waits until the tail has come to what is the end now.
func (p *partition) readOn(ctx context.Context) error {
	end, some, err := p.end(ctx)
	if err != nil || !some {
		return err
	}
	for {
		more := p.log.bell.wait()
		if err := p.failure(); err != nil || p.reached(end) {
			return err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
}

// stop notes why the tail has ended.
func (p *partition) stop(cause error) {
	p.mu.Lock()
	if p.broken == nil {
		p.broken = cause
	}
	p.mu.Unlock()
	p.log.bell.ring()
}

func (p *partition) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// end is the last message that the topic has now; none if it is empty.
func (p *partition) end(ctx context.Context) (id messageID, some bool, err error) {
	return p.tail().end(ctx)
}

func (p *partition) tail() *feed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.feed
}

// reached reports whether the tail has read as far as a message.
func (p *partition) reached(id messageID) bool {
	last, some := p.tree.end()
	return some && !last.id.before(id)
}

func (p *partition) close() error {
	if f := p.tail(); f != nil {
		f.close()
	}
	return p.tree.close()
}

// treeDir is where the tree of a log is kept.
func treeDir(dir, log string) string { return filepath.Join(dir, "trees", filepath.FromSlash(log)) }

// bell wakes everybody who waits for something new.
type bell struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu; nil if nobody waits
}

// wait is closed at the next ring.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
