package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"

	"github.com/deedbroker/deed/audit"
)

// A record that retention has removed is a row without a body: what it completes in its
// tree stays, so that every proof of what is left, and of what was there, can still be
// made. Its payloads are gone.

// errRemoved: retention has removed the record.
var errRemoved = fmt.Errorf("%w: retention has removed it", audit.ErrNotFound)

// removed reports whether retention has removed the record.
func (e entry) removed() bool { return len(e.body) == 0 }

// left are the entries that retention has left, in place.
func left(batch []entry) []entry {
	kept := batch[:0]
	for _, e := range batch {
		if !e.removed() {
			kept = append(kept, e)
		}
	}
	return kept
}

// Oldest is the index of the first record of a log that retention has left; its size if
// there is none.
func (r *Reader) Oldest(ctx context.Context, log string) (int64, error) {
	first, err := r.first(ctx, log)
	if err != nil {
		return 0, fmt.Errorf("find the first record of %s: %w", log, err)
	}
	return first, nil
}

func (r *Reader) first(ctx context.Context, log string) (int64, error) {
	sizes, err := r.Sizes(ctx)
	if err != nil {
		return 0, err
	}
	// What is removed is always the oldest.
	n := sort.Search(int(sizes[log]), func(n int) bool {
		var e entry
		if err == nil {
			e, err = r.locate(ctx, audit.Position{Log: log, Index: int64(n)})
		}
		return !e.removed()
	})
	return int64(n), err
}

// prefix is what is removed of a log.
type prefix struct {
	first int64 // index of the first record that is left
	seq   int64 // of the last that is not
}

// loadRemoved reads what is removed of each log.
func (l *Log) loadRemoved(ctx context.Context) error {
	sizes, err := l.read.Sizes(ctx)
	if err != nil {
		return err
	}
	for log := range sizes {
		if err := l.setRemoved(ctx, log); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) setRemoved(ctx context.Context, log string) error {
	first, err := l.read.first(ctx, log)
	if err != nil || first == 0 {
		return err
	}
	e, err := l.read.locate(ctx, audit.Position{Log: log, Index: first - 1})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removed[log] = prefix{first, e.seq}
	return nil
}

// Oldest is [Reader.Oldest]. It reads memory only.
func (l *Log) Oldest(_ context.Context, log string) (int64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.removed[log].first, nil
}

// Remove removes the records of a log before an index, and their payloads, for good.
// Their hashes stay. Bytes go as those of [Log.Erase] do. It can be broken off anywhere:
// what is removed then are the oldest of them.
func (l *Log) Remove(ctx context.Context, log string, to int64) error {
	if err := l.remove(ctx, log, to); err != nil {
		return fmt.Errorf("remove the records of %s before %d: %w", log, to, err)
	}
	return nil
}

func (l *Log) remove(ctx context.Context, log string, to int64) error {
	from, err := l.read.first(ctx, log)
	if err != nil {
		return err
	}
	id, err := l.read.id(ctx, log)
	for ; err == nil && from < to; from += erasedAtOnce {
		upTo := min(from+erasedAtOnce, to)
		err = l.hand(ctx, func(w *writer) error {
			return errors.Join(
				w.dropRange.Run(int64(audit.MaxPayloads), int64(audit.MaxPayloads), id, from, upTo),
				w.removeRange.Run(id, from, upTo))
		})
		if err == nil {
			l.tail.forget(log, upTo)
		}
	}
	return errors.Join(err, l.setRemoved(ctx, log))
}

// forget drops the bodies of a log's records before an index.
func (t *tail) forget(log string, before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.ring {
		if e := &t.ring[i]; e.position.Log == log && e.position.Index < before {
			t.bytes -= len(e.body)
			e.body = nil
		}
	}
}

// Ahead is how many records there are to read after a cursor.
func (l *Log) Ahead(ctx context.Context, after audit.Cursor) (int64, error) {
	end := l.tail.end()
	seq, err := startAfter(after, end)
	if err != nil {
		return 0, fmt.Errorf("count what is ahead: %w", err)
	}
	l.mu.RLock()
	removed := maps.Clone(l.removed)
	l.mu.RUnlock()
	n := end - seq
	for log, p := range removed {
		if p.seq <= seq {
			continue
		}
		passed := sort.Search(int(p.first), func(n int) bool {
			var e entry
			if err == nil {
				e, err = l.read.locate(ctx, audit.Position{Log: log, Index: int64(n)})
			}
			return e.seq > seq
		})
		n -= p.first - int64(passed)
	}
	if err != nil {
		return 0, fmt.Errorf("count what is ahead: %w", err)
	}
	return n, nil
}
