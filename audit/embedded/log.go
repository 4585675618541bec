package embedded

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/internal/direct"
)

var (
	_ audit.Log      = (*Log)(nil)
	_ audit.Payloads = (*Log)(nil)
	_ audit.Eraser   = (*Log)(nil)
)

// Log is an open log. It is safe for concurrent use.
type Log struct {
	path    string
	options Options
	lock    *flock.Flock
	read    *Reader
	tail    *tail
	count   counters

	queue    chan *request
	erasures chan *erasure
	closing  chan struct{} // closed when no more is taken
	stopped  chan struct{} // closed when the writer has answered all it took
	full     atomic.Bool
	broken   atomic.Pointer[error] // what poisoned the log

	mu      sync.RWMutex
	sizes   map[string]int64  // guarded by mu: durable records of each log
	removed map[string]prefix // guarded by mu: what retention has removed

	writer    *writer
	closeOnce sync.Once
	closeErr  error
	owned     sync.WaitGroup // the goroutines of this log
}

const queueLength = 1024

// errClosed is what a closed log answers.
var errClosed = fmt.Errorf("%w: it is closed", audit.ErrUnavailable)

func start(ctx context.Context, dir string, options Options, lock *flock.Flock, c *direct.Conn, r *Reader) (*Log, error) {
	last, err := r.end(ctx)
	if err != nil {
		return nil, err
	}
	l := &Log{
		path: filepath.Join(dir, FileName), options: options, lock: lock, read: r, tail: newTail(last),
		queue: make(chan *request, queueLength), erasures: make(chan *erasure),
		closing: make(chan struct{}), stopped: make(chan struct{}), sizes: map[string]int64{}, removed: map[string]prefix{},
	}
	if err := l.loadRemoved(ctx); err != nil {
		return nil, err
	}
	keeper, err := newKeeper(ctx, l)
	if err != nil {
		return nil, err
	}
	if l.writer, err = newWriter(ctx, l, c, keeper, last); err != nil {
		return nil, errors.Join(err, keeper.conn.Close())
	}
	l.owned.Go(l.writer.run)
	l.owned.Go(func() { l.tail.run(l.stopped) })
	l.owned.Go(keeper.run)
	return l, nil
}

// Close stops taking events, stores those that wait, folds the write-ahead log
// into the file and releases the lock. Those who follow the log get an error that
// wraps [audit.ErrUnavailable]. Closing twice is harmless and returns the same.
func (l *Log) Close() error {
	l.closeOnce.Do(func() {
		close(l.closing)
		l.owned.Wait()
		if err := errors.Join(l.read.Close(), l.writer.finish(), l.lock.Close()); err != nil {
			l.closeErr = fmt.Errorf("close log: %w", err)
		}
	})
	return l.closeErr
}

// Health says why the log does not take new calls: an error that wraps
// [audit.ErrFull] or [audit.ErrUnavailable], or nil.
func (l *Log) Health() error {
	select {
	case <-l.closing:
		return errClosed
	default:
	}
	if broken := l.broken.Load(); broken != nil {
		return *broken
	}
	if l.full.Load() {
		return fmt.Errorf("%w on the disk of %s: new calls are refused, open ones can be closed", audit.ErrFull, l.path)
	}
	return nil
}

// poison makes the log refuse everything from now on.
func (l *Log) poison(cause error) {
	err := fmt.Errorf("%w: %s failed and must be opened again: %w", audit.ErrUnavailable, l.path, cause)
	l.broken.CompareAndSwap(nil, &err)
}

// Read is [audit.Log.Read].
func (l *Log) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	end := l.tail.end()
	return func(yield func(audit.Record, error) bool) { l.read.read(ctx, from, end, yield) }
}

// Follow is [audit.Log.Follow]. It reads what is old from the file and what is new
// from memory, and costs nothing while nothing happens. It never holds up the writer.
func (l *Log) Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		err := l.follow(ctx, from, yield)
		if err != nil && ctx.Err() == nil {
			yield(audit.Record{}, fmt.Errorf("follow log: %w", err))
		}
	}
}

// follow returns nil when the consumer has had enough.
func (l *Log) follow(ctx context.Context, from audit.Cursor, yield func(audit.Record, error) bool) error {
	seq, err := startAfter(from, l.tail.end())
	if err != nil {
		return err
	}
	var batch []entry
	for {
		more := l.tail.wait()
		if batch, err = l.next(ctx, seq, batch[:0]); err != nil {
			return err
		}
		for _, e := range batch {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if seq = e.seq; e.removed() {
				continue
			}
			record := e.record()
			record.Stored = append([]byte(nil), e.body...) // other followers have the same entry
			if !yield(record, nil) {
				return nil
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-more:
		case <-l.stopped:
			if seq == l.tail.end() {
				return errClosed
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *Log) next(ctx context.Context, seq int64, reuse []entry) ([]entry, error) {
	end := l.tail.end()
	if batch, covered := l.tail.after(seq, end, reuse); covered {
		return batch, nil
	}
	batch, err := l.read.after(ctx, seq, end)
	if err == nil && (len(batch) == 0 || batch[0].seq != seq+1 || batch[len(batch)-1].seq != seq+int64(len(batch))) {
		err = fmt.Errorf("%w: %s lacks records after %d", audit.ErrCorrupt, l.path, seq)
	}
	return batch, err
}

// Record returns the record at p, or [audit.ErrNotFound].
func (l *Log) Record(ctx context.Context, p audit.Position) (audit.Record, error) {
	return l.read.Record(ctx, p)
}

// Payload is [audit.Payloads.Payload].
func (l *Log) Payload(ctx context.Context, p audit.Position, name string) (audit.Payload, error) {
	return l.read.Payload(ctx, p, name)
}

// Sizes returns how many durable records each log has, by name. It reads memory only.
func (l *Log) Sizes(context.Context) (map[string]int64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return maps.Clone(l.sizes), nil
}

// Hashes is [Reader.Hashes].
func (l *Log) Hashes(ctx context.Context, log string) tlog.HashReader {
	return l.read.Hashes(ctx, log)
}
