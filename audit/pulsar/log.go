package pulsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/deedbroker/deed/audit"
)

var (
	_ audit.Log      = (*Log)(nil)
	_ audit.Storer   = (*Log)(nil)
	_ audit.Payloads = (*Log)(nil)
	_ audit.Eraser   = (*Log)(nil)
)

// Log is an open log. It is safe for concurrent use.
type Log struct {
	options Options
	client  pulsar.Client
	admin   *admin
	room    *semaphore.Weighted // bytes that may be on their way to Pulsar
	bell    bell                // rings when there are new records
	lease   *lease              // lost when another process has taken this replica's name

	topics  map[string][]*partition // by domain/topic, in the order of their numbers
	logs    []*partition            // all of them, by the name of their log
	vaults  map[string]*vault       // payloads, by domain
	follows sync.WaitGroup          // the tails

	ctx    context.Context //nolint:containedctx // of what the log does by itself; Close ends it
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool           // guarded by mu: nothing is spawned any more
	owned  sync.WaitGroup // what is spawned

	closeOnce sync.Once
	closeErr  error
}

// Open opens the log for writing and reading, under the name of a replica that nobody
// else uses now. It returns when everything that the topics hold is known: it reads
// what was written since this replica read last. Topics that are not there, that
// this role may not use, or whose deduplication is not as it must be, are an error
// that wraps [audit.ErrUnavailable]; a replica that runs already is [audit.ErrLocked].
func Open(ctx context.Context, o Options) (_ *Log, err error) {
	return open(ctx, o, (*Log).openWriting)
}

// openWriting opens everything that a replica needs.
func (l *Log) openWriting(ctx context.Context) error {
	for _, step := range []func(context.Context) error{l.findTopics, l.check, l.openTails, l.openWriters, l.openVaults} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open makes a log, has its parts opened, and waits for its tails.
func open(ctx context.Context, o Options, parts func(*Log, context.Context) error) (_ *Log, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{
		options: o, room: semaphore.NewWeighted(maxInFlight),
		topics: map[string][]*partition{}, vaults: map[string]*vault{}, lease: newLease(),
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open log: %w", err), l.Close())
		}
	}()
	credentials, err := newCredentials(l.ctx, o.Auth) //nolint:contextcheck // tokens are got for as long as the log is open
	if err != nil {
		return nil, err
	}
	if o.Admin != noAdmin {
		if l.admin, err = newAdmin(o.Admin, credentials); err != nil {
			return nil, err
		}
	}
	if l.client, err = newClient(o, credentials); err != nil {
		return nil, meaning(err)
	}
	opening, cancel := context.WithTimeout(ctx, o.OpenWait)
	defer cancel()
	if err := parts(l, opening); err != nil {
		return nil, err
	}
	return l, l.catchUp(ctx)
}

// findTopics makes out the partitions of every topic.
func (l *Log) findTopics(ctx context.Context) error {
	for _, domain := range l.options.Domains {
		if err := l.findEvents(ctx, domain); err != nil {
			return err
		}
		v, err := l.newVault(ctx, domain)
		if err != nil {
			return err
		}
		l.vaults[domain] = v
	}
	return nil
}

// findEvents makes out the partitions of a domain's events.
func (l *Log) findEvents(ctx context.Context, domain string) error {
	for _, topic := range EventTopics(domain) {
		names, err := l.partitionsOf(ctx, TopicName(l.options.Tenant, domain, topic))
		if err != nil {
			return err
		}
		for _, name := range names {
			p := &partition{place: newPlace(l.options.Tenant, domain, topic, name), partitions: len(names), log: l}
			p.writer = newWriter(p, l.options.source(), l.lease)
			if topic == audit.TopicCheckpoints {
				p.writer = newLeader(p, l.options.source(), l.lease)
			}
			if p.tree, err = openTree(treeDir(l.options.Dir, p.place.log)); err != nil {
				return err
			}
			l.topics[domain+"/"+topic] = append(l.topics[domain+"/"+topic], p)
			l.logs = append(l.logs, p)
		}
	}
	slices.SortFunc(l.logs, func(a, b *partition) int { return strings.Compare(a.place.log, b.place.log) })
	return nil
}

// each does something for every partition, several at a time.
func (l *Log) each(ctx context.Context, do func(context.Context, *partition) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, p := range l.logs {
		g.Go(func() error { return do(ctx, p) })
	}
	return g.Wait()
}

// check refuses to work where events could be stored twice.
func (l *Log) check(ctx context.Context) error {
	return l.each(ctx, func(ctx context.Context, p *partition) error { return l.admin.checkDeduplication(ctx, p.place, true) })
}

// openWriters takes the replica's name everywhere. From then on nothing more can come
// from an earlier process of the same name.
func (l *Log) openWriters(ctx context.Context) error {
	return l.each(ctx, func(ctx context.Context, p *partition) error {
		if p.place.topic == audit.TopicCheckpoints {
			return nil // that is who leads
		}
		err := l.takeName(ctx, p)
		if errors.Is(err, ErrFenced) {
			return fmt.Errorf("%w: replica %s runs already: %w", audit.ErrLocked, l.options.Replica, err)
		}
		return err
	})
}

// takeName opens a writer. Whoever takes this replica's place, since it was dead, gives it
// back soon: that is waited for.
func (l *Log) takeName(ctx context.Context, p *partition) error {
	limit := time.Now().Add(2 * l.options.Courtesy)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.writer.open(ctx)
		if !errors.Is(err, ErrFenced) || time.Now().After(limit) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (l *Log) openVaults(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, v := range l.vaults {
		g.Go(func() error { return v.open(ctx) })
	}
	return g.Wait()
}

func (l *Log) openTails(ctx context.Context) error {
	if err := l.each(ctx, func(ctx context.Context, p *partition) error { return p.openTail(ctx) }); err != nil {
		return err
	}
	for _, p := range l.logs {
		l.follows.Go(func() { p.follow(l.ctx) })
	}
	return nil
}

// catchUp waits until the tails have come to what was the end.
func (l *Log) catchUp(ctx context.Context) error {
	return l.each(ctx, func(ctx context.Context, p *partition) error { return p.readOn(ctx) })
}

// spawn runs f in the background; Close waits for it. It does nothing, and says so,
// once the log is closed.
func (l *Log) spawn(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.owned.Go(f)
	return true
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close ends all writing and reading. What is not acknowledged by then is uncertain.
// Those who follow the log get an error that wraps [audit.ErrUnavailable]. Closing
// twice is harmless and returns the same.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.cancel()
		for _, p := range l.logs {
			p.writer.close()
		}
		for _, v := range l.vaults {
			v.close()
		}
		l.follows.Wait()
		var closing sync.WaitGroup // a reader whose broker is away takes its time
		errs := make([]error, len(l.logs))
		for i, p := range l.logs {
			closing.Go(func() { errs[i] = p.close() })
		}
		closing.Wait()
		if l.client != nil {
			l.client.Close()
		}
		l.bell.ring()
		l.owned.Wait()
		if err := errors.Join(errs...); err != nil {
			l.closeErr = fmt.Errorf("close log: %w", err)
		}
	})
	return l.closeErr
}

// Health says why the log does not take events: an error that wraps
// [audit.ErrUnavailable], or nil.
func (l *Log) Health() error {
	if l.isClosed() {
		return errClosed
	}
	for _, p := range l.logs {
		if err := p.failure(); err != nil {
			return err
		}
		if p.place.topic == audit.TopicCheckpoints {
			continue // only the replica that seals writes there
		}
		since, cause := p.writer.trouble()
		if cause != nil && !p.writer.takesTurns { // that is another's turn

			return fmt.Errorf("write to %s: %w", p.place.name, cause)
		}
		if !since.IsZero() && time.Since(since) > l.options.Patience {
			return fmt.Errorf("write to %s: %w: Pulsar has not acknowledged for %v", p.place.name, audit.ErrUnavailable, time.Since(since).Round(time.Second))
		}
	}
	return nil
}

// Sizes returns how many records each log has, by name, as far as they have been read.
// It reads memory only.
func (l *Log) Sizes(context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, p := range l.logs {
		if n := p.tree.count(); n > 0 {
			sizes[p.place.log] = n
		}
	}
	return sizes, nil
}

// AtHand is how many of the newest records of each log are in memory at least.
func (l *Log) AtHand() int64 {
	least := int64(ringRecords)
	for _, p := range l.logs {
		least = min(least, p.ring.room())
	}
	return least
}

// Hashes reads the hashes of a log's tree. Those of records that retention had removed
// before this replica read them are an error that wraps [audit.ErrNotFound].
func (l *Log) Hashes(_ context.Context, log string) tlog.HashReader {
	p := l.partition(log)
	if p == nil {
		return tlog.HashReaderFunc(func([]int64) ([]tlog.Hash, error) {
			return nil, fmt.Errorf("%w: log %q", audit.ErrNotFound, log)
		})
	}
	return p.tree
}

// Record returns the record at p, or [audit.ErrNotFound].
func (l *Log) Record(ctx context.Context, at audit.Position) (audit.Record, error) {
	e, p, err := l.entryAt(ctx, at)
	if err != nil {
		return audit.Record{}, fmt.Errorf("read record %s: %w", at, err)
	}
	// A cursor stands in all logs; from one record alone only its own place is known.
	return e.record(p.place.log, marks{p.place.log: {id: e.id, index: e.index}}.cursor()), nil
}

func (l *Log) entryAt(ctx context.Context, at audit.Position) (*entry, *partition, error) {
	p := l.partition(at.Log)
	if p == nil {
		return nil, nil, fmt.Errorf("%w: no such log", audit.ErrNotFound)
	}
	if e := p.ring.get(at.Index); e != nil {
		return e, p, nil
	}
	id, ok := p.tree.where(at.Index)
	if !ok {
		return nil, nil, fmt.Errorf("%w: no such record", audit.ErrNotFound)
	}
	m, err := l.readAt(ctx, p.place, id)
	if err != nil {
		return nil, nil, err
	}
	if m.index != at.Index {
		return nil, nil, fmt.Errorf("%w: retention has removed it", audit.ErrNotFound)
	}
	return m.entry(nil), p, nil
}

func (l *Log) partition(log string) *partition {
	i, ok := slices.BinarySearchFunc(l.logs, log, func(p *partition, log string) int { return strings.Compare(p.place.log, log) })
	if !ok {
		return nil
	}
	return l.logs[i]
}
