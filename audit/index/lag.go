package index

import (
	"context"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Sized is a log that knows how many records each of its logs has.
type Sized interface {
	Sizes(ctx context.Context) (map[string]int64, error)
}

// Ahead is a log some of whose records retention has removed: it knows how many there are
// to read after a cursor.
type Ahead interface {
	Ahead(ctx context.Context, after audit.Cursor) (int64, error)
}

// Lag is how far an index is behind its log.
type Lag struct {
	Indexed int64         // records in the index
	Records int64         // records of the log that are not in it; -1 if the log does not tell its size
	Newest  time.Time     // of the newest event in the index
	Behind  time.Duration // for how long there have been records that are not in it
}

type lag struct {
	mu    sync.Mutex
	log   audit.Log // guarded by mu, as are the others; nil: it is not followed
	at    place
	since time.Time     // since when there have been records that are not in the index; zero: there are none that it knows of
	moved chan struct{} // closed when the index has got further, or stops following
}

func (l *lag) start(log audit.Log, at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log, l.at, l.since, l.moved = log, at, time.Time{}, make(chan struct{})
}

func (l *lag) reached(at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = at
	close(l.moved)
	l.moved = make(chan struct{})
}

// met notes that there is a record that is not in the index.
func (l *lag) met() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() {
		l.since = time.Now()
	}
}

// caughtUp notes that the index has all that the log had at a time.
func (l *lag) caughtUp(ctx context.Context, then time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok, err := l.missing(ctx); err == nil && ok && n > 0 {
		l.since = then
	} else {
		l.since = time.Time{}
	}
}

func (l *lag) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = nil
	close(l.moved)
}

// missing is how many records the log has that the index has not; ok is false if that
// is not known. The caller holds mu.
func (l *lag) missing(ctx context.Context) (n int64, ok bool, err error) {
	if log, ok := l.log.(Ahead); ok {
		n, err = log.Ahead(ctx, l.at.cursor)
		return n, err == nil, err
	}
	sized, ok := l.log.(Sized)
	if !ok {
		return 0, false, nil
	}
	sizes, err := sized.Sizes(ctx)
	if err != nil {
		return 0, false, err
	}
	n = -l.at.records
	for _, size := range sizes {
		n += size
	}
	return max(n, 0), true, nil
}

// end is how many records the log has; unknown if it does not tell.
func (l *lag) end(ctx context.Context, unknown int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok, err := l.missing(ctx)
	if err != nil || !ok {
		return unknown
	}
	return l.at.records + n
}

// losesSight reports whether soon records will be missing that the log has not at hand.
func (l *lag) losesSight(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	recent, ok := l.log.(Recent)
	if !ok {
		return false
	}
	n, ok, err := l.missing(ctx)
	return err == nil && ok && n > recent.AtHand()/2
}

// freshWait is how long a search waits for the index to have what the log had when
// it was asked.
const freshWait = 2 * time.Second

// fresh lets the index catch up with the log, if it is behind and follows it.
func (i *Index) fresh(ctx context.Context) {
	end := i.lag.end(ctx, 0)
	ctx, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	for {
		i.lag.mu.Lock()
		behind, moved := i.lag.log != nil && i.lag.at.records < end, i.lag.moved
		i.lag.mu.Unlock()
		if !behind {
			return
		}
		select {
		case i.wanted <- struct{}{}:
		default: // it is told already
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// Behind tells how far the index is behind the log that [Index.Run] follows: for
// readiness probes, and to say beside a search that it may not be complete.
func (i *Index) Behind(ctx context.Context) (Lag, error) {
	i.lag.mu.Lock()
	defer i.lag.mu.Unlock()
	l := &i.lag
	out := Lag{Indexed: l.at.records, Records: -1, Newest: l.at.newest}
	n, ok, err := l.missing(ctx)
	if err != nil || !ok {
		return out, err
	}
	if out.Records = n; n > 0 && !l.since.IsZero() {
		out.Behind = time.Since(l.since)
	}
	return out, nil
}
