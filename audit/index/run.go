package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Bounds of a batch. It is committed when it is full, or when its first record has
// waited so long: briefly while little happens, and longer once that brought busyRecords,
// for a large batch costs less per record, and has most calls from intent to outcome.
const (
	batchRecords = 2000
	batchBytes   = 16 << 20
	readAhead    = 512 // records, while a batch is committed
	busyRecords  = 32
	batchWait    = 40 * time.Millisecond
	busyWait     = 960 * time.Millisecond // beside batchWait
)

// errOtherLog says that the index was folded from another log than this one.
var errOtherLog = errors.New("it was folded from another log")

// Run folds log into the index, from where it stopped before, and goes on with new
// records until ctx is done: then it returns nil. It is slower than the log and
// never in its way. Arguments are read from payloads, as far as they are there.
//
// An index that turns out to be damaged, or of another log, is built again.
// Other errors, such as a log that cannot be read, end Run; it can be run again.
func (i *Index) Run(ctx context.Context, log audit.Log, payloads audit.Payloads) error {
	for {
		err := i.follow(ctx, log, payloads)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that is how Run is ended
		}
		if !isDamage(err) {
			return fmt.Errorf("run index: %w", err)
		}
		if err := i.rebuild(ctx, err); err != nil {
			return err
		}
	}
}

// place is how far the log was read.
type place struct {
	cursor  audit.Cursor
	records int64
	newest  time.Time // of the newest event
	before  audit.Cursor
	last    string // position of the last record
	digest  []byte // SHA-256 of its bytes
}

// item is a record on its way into the index.
type item struct {
	record audit.Record
	before audit.Cursor // from which the log yields it
	err    error
}

func (i *Index) follow(ctx context.Context, log audit.Log, payloads audit.Payloads) error {
	at, err := i.place(ctx)
	if err != nil {
		return err
	}
	if err := sameLog(ctx, log, at); err != nil {
		return err
	}
	i.lag.start(log, at)
	ctx, stop := context.WithCancel(ctx)
	var owned sync.WaitGroup
	defer owned.Wait()
	defer stop()
	items := make(chan item, readAhead)
	owned.Go(func() { pump(ctx, log, at.cursor, items) })

	f := &folder{index: i, payloads: payloads, at: at, cached: map[string]*entry{}}
	for {
		batch, err := i.collect(ctx, items)
		if len(batch) > 0 {
			if err := damage(f.commit(ctx, batch)); err != nil {
				return err
			}
			i.lag.reached(f.at)
		}
		if err != nil {
			return err
		}
	}
}

// pump reads the log ahead of the folder, as far as the channel has room.
func pump(ctx context.Context, log audit.Log, from audit.Cursor, items chan<- item) {
	defer close(items)
	for r, err := range log.Follow(ctx, from) {
		select {
		case items <- item{record: r, before: from, err: err}:
			from = r.Next
		case <-ctx.Done():
			return
		}
	}
}

// collect waits for a record and takes what comes with it. The batch is good
// even if there is an error.
func (i *Index) collect(ctx context.Context, items <-chan item) ([]item, error) {
	var batch []item
	var full <-chan time.Time
	waitedLong := false
	for size := 0; len(batch) < batchRecords && size < batchBytes; {
		select {
		case it, ok := <-items:
			switch {
			case !ok:
				return batch, errors.Join(ctx.Err(), errors.New("the log ended"))
			case it.err != nil:
				return batch, it.err
			case full == nil:
				timer := time.NewTimer(batchWait)
				defer timer.Stop()
				full = timer.C
			}
			batch = append(batch, it)
			size += len(it.record.Stored)
		case <-full:
			if waitedLong || len(batch) < busyRecords {
				return batch, nil
			}
			waitedLong = true
			timer := time.NewTimer(busyWait)
			defer timer.Stop()
			full = timer.C
		case <-i.broken:
			return nil, &unusableError{errors.New("a search met damage")}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return batch, nil
}

// sameLog reads the record again that was folded last: it must be what it was.
func sameLog(ctx context.Context, log audit.Log, at place) error {
	if at.records == 0 {
		return nil
	}
	for r, err := range log.Read(ctx, at.before) {
		digest := sha256.Sum256(r.Stored)
		switch {
		case errors.Is(err, audit.ErrNotFound):
			return &unusableError{fmt.Errorf("%w: %w", errOtherLog, err)}
		case err != nil:
			return err
		case r.Position.String() != at.last || r.Next != at.cursor || !bytes.Equal(digest[:], at.digest):
			return &unusableError{errOtherLog}
		}
		return nil
	}
	return &unusableError{errOtherLog}
}

func (i *Index) place(ctx context.Context) (place, error) {
	var p place
	err := i.reading(func(db *sql.DB) error {
		var newest int64
		err := db.QueryRowContext(ctx, `SELECT cursor, records, newest, before, last, digest FROM place`).
			Scan(&p.cursor, &p.records, &newest, &p.before, &p.last, &p.digest)
		p.newest = fromNanos(newest)
		return err
	})
	return p, err
}

// Times are stored in nanoseconds since 1970, and 0 for none.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
