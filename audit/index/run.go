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

// Bounds of a batch, and of how long the index gives way to calls.
const (
	batchRecords = 2000
	batchBytes   = 16 << 20
	readAhead    = 512 // records, while a batch is committed

	quietTime    = 200 * time.Millisecond
	quietRecords = 64              // that come in quietTime when there is room for the index
	maxDelay     = 5 * time.Second // of the oldest record that was put off
)

// errOtherLog says that the index was folded from another log than this one.
var errOtherLog = errors.New("it was folded from another log")

// Run folds log into the index, from where it stopped before, and goes on with new
// records until ctx is done: then it returns nil. It is never in the log's way: while
// calls come thick and fast it puts off what they leave behind, for a few seconds at
// most, until they come slower or somebody asks for the history. Arguments are read
// from payloads, as far as they are there.
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

	defer i.lag.stop()
	f := &folder{index: i, payloads: payloads, at: at, cached: map[string]*entry{}}
	for {
		if err := i.catchUp(ctx, f, items); err != nil {
			return err
		}
	}
}

// catchUp waits for a record, gives way to calls, and then folds all that the log has.
func (i *Index) catchUp(ctx context.Context, f *folder, items <-chan item) error {
	first, err := i.next(ctx, items)
	if err != nil {
		return err
	}
	i.lag.met()
	if err := i.giveWay(ctx); err != nil {
		return err
	}
	then, some := time.Now(), f.at.records+1+int64(len(items))
	batch, end := []item{first}, max(f.at.records+1, i.lag.end(ctx, some))
	for f.at.records < end && err == nil {
		if batch, err = i.fill(ctx, batch, items, end-f.at.records); len(batch) > 0 {
			if err := damage(f.commit(ctx, batch)); err != nil {
				return err
			}
			i.lag.reached(f.at)
		}
		batch = batch[:0]
	}
	i.lag.caughtUp(ctx, then)
	return err
}

// fill adds records to a batch until it is full, or has so many. The batch is good
// even if there is an error.
func (i *Index) fill(ctx context.Context, batch []item, items <-chan item, want int64) ([]item, error) {
	size := 0
	for int64(len(batch)) < min(want, batchRecords) && size < batchBytes {
		it, err := i.next(ctx, items)
		if err != nil {
			return batch, err
		}
		batch = append(batch, it)
		size += len(it.record.Stored)
	}
	return batch, nil
}

// next is the next record of the log.
func (i *Index) next(ctx context.Context, items <-chan item) (item, error) {
	select {
	case it, ok := <-items:
		if !ok {
			return item{}, errors.Join(ctx.Err(), errors.New("the log ended"))
		}
		return it, it.err
	case <-i.broken:
		return item{}, &unusableError{errors.New("a search met damage")}
	case <-ctx.Done():
		return item{}, ctx.Err()
	}
}

// Recent is a log that has its newest records at hand, and must fetch those that are older.
type Recent interface {
	// AtHand is how many of the newest records there are of the log that has the fewest.
	AtHand() int64
}

// giveWay waits while calls come thick and fast, within bounds. It does not wait at
// all when somebody does who has asked for the history, nor where it would lose sight of
// the log: to fetch records that were at hand costs more than to fold them.
func (i *Index) giveWay(ctx context.Context) error {
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	before := i.lag.end(ctx, 0)
	for range maxDelay / quietTime {
		select {
		case <-tick.C:
		case <-i.wanted:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		now := i.lag.end(ctx, 0)
		if now-before < quietRecords || i.lag.losesSight(ctx) {
			return nil
		}
		before = now
	}
	return nil
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

// sameLog reads the record again that was folded last: it must be what it was.
func sameLog(ctx context.Context, log audit.Log, at place) error {
	if at.records == 0 {
		return nil
	}
	last, err := audit.ParsePosition(at.last)
	if err != nil {
		return &unusableError{err}
	}
	for r, err := range log.Read(ctx, at.before) {
		digest := sha256.Sum256(r.Stored)
		switch {
		case errors.Is(err, audit.ErrNotFound):
			return &unusableError{fmt.Errorf("%w: %w", errOtherLog, err)}
		case err != nil:
			return err
		case r.Position.Log != last.Log: // of the partitions of a topic each has an order of its own
			continue
		case r.Position.Index > last.Index: // retention has removed it
			return nil
		case r.Position != last || !bytes.Equal(digest[:], at.digest):
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
