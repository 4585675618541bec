package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// maxCached is how many open calls are kept in memory between batches.
const maxCached = 20_000

// folder turns batches of records into rows.
type folder struct {
	index    *Index
	payloads audit.Payloads
	at       place
	cached   map[string]*entry // calls by id, as they are in the file
}

// entry is a call as it is folded, and what of it is not yet in the file.
type entry struct {
	n      int64
	call   calls.Call
	events int64       // in the file
	tally  string      // the outcome that it is counted under; "" if it is not counted
	facets [][2]string // known to be in the file

	fresh  bool // not in the file
	dirty  bool // changed since
	change []change
}

type change struct {
	item    item
	event   audit.Event
	counted bool
	finding string
}

// commit folds a batch and stores it, all or nothing. It takes intents for those of
// new calls, which spares looking for each; if one was not, it starts again and looks.
func (f *folder) commit(ctx context.Context, batch []item) error {
	if err := f.try(ctx, batch, true); !isDuplicate(err) {
		return err
	}
	return f.try(ctx, batch, false)
}

// isDuplicate recognises a second call with the same ID.
func isDuplicate(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlitelib.SQLITE_CONSTRAINT
}

func (f *folder) try(ctx context.Context, batch []item, intentsAreNew bool) error {
	i := f.index
	i.mu.RLock()
	defer i.mu.RUnlock()
	// A statement that can be interrupted costs two goroutines; a batch is short enough.
	ctx = context.WithoutCancel(ctx)
	tx, err := i.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	w, err := newWriter(ctx, tx)
	if err != nil {
		return err
	}
	at := f.at
	var touched []*entry
	for _, it := range batch {
		runtime.Gosched() // calls that are under way come first
		e, err := f.fold(ctx, w, it, &at, intentsAreNew)
		if err != nil {
			f.cached = map[string]*entry{} // they are ahead of the file
			return err
		}
		if e != nil {
			touched = append(touched, e)
		}
	}
	if err := f.store(ctx, w, touched, at); err != nil {
		f.cached = map[string]*entry{}
		return err
	}
	if err := tx.Commit(); err != nil {
		f.cached = map[string]*entry{}
		return err
	}
	f.at = at
	f.forget(touched)
	return nil
}

// fold applies one record, and returns the call if this is its first change in the batch.
func (f *folder) fold(ctx context.Context, w *writer, it item, at *place, intentsAreNew bool) (*entry, error) {
	digest := sha256.Sum256(it.record.Stored)
	at.records++
	at.cursor, at.before = it.record.Next, it.before
	at.last, at.digest = it.record.Position.String(), digest[:]
	e, err := it.record.Event()
	if err != nil { // for the verifier to report
		return nil, nil //nolint:nilerr // a record that does not parse belongs to no call
	}
	if e.Time.After(at.newest) {
		at.newest = e.Time
	}
	if e.Topic != audit.TopicCalls {
		return nil, nil
	}
	call, err := f.entry(ctx, w, e.Subject, intentsAreNew && e.Type == audit.CallIntent)
	if err != nil {
		return nil, err
	}
	counted, err := call.call.Apply(e, it.record.Position)
	c := change{item: it, event: e, counted: counted}
	if err != nil {
		v, ok := errors.AsType[*calls.Violation](err)
		if !ok {
			return nil, err
		}
		c.finding = v.Error()
	}
	first := !call.dirty
	call.dirty, call.change = true, append(call.change, c)
	if !first {
		return nil, nil
	}
	return call, nil
}

func (f *folder) entry(ctx context.Context, w *writer, id string, isNew bool) (*entry, error) {
	if e, ok := f.cached[id]; ok {
		return e, nil
	}
	if isNew {
		e := &entry{fresh: true}
		f.cached[id] = e
		return e, nil
	}
	e, err := w.load(ctx, id)
	if errors.Is(err, sql.ErrNoRows) {
		e, err = &entry{fresh: true}, nil
	}
	if err != nil {
		return nil, err
	}
	f.cached[id] = e
	return e, nil
}

func (f *folder) store(ctx context.Context, w *writer, touched []*entry, at place) error {
	for _, e := range touched {
		runtime.Gosched()
		if err := w.store(ctx, e, f.arguments(ctx, &e.call)); err != nil {
			return fmt.Errorf("store call: %w", err)
		}
	}
	return w.place(ctx, at)
}

// arguments are what a call was made with: nil if they were erased, or cannot be
// read. They are only there to be searched.
func (f *folder) arguments(ctx context.Context, c *calls.Call) []byte {
	return argumentsOf(ctx, f.payloads, c)
}

func argumentsOf(ctx context.Context, payloads audit.Payloads, c *calls.Call) []byte {
	if c.State == calls.None || payloads == nil {
		return nil
	}
	p, err := payloads.Payload(ctx, c.Opening.At, audit.PayloadArguments)
	if err != nil {
		return nil
	}
	return p.Body
}

// forget keeps the calls in memory that will go on, within bounds.
func (f *folder) forget(touched []*entry) {
	for _, e := range touched {
		e.events += int64(len(e.change))
		e.fresh, e.dirty, e.change = false, false, nil
		if !e.call.Open() {
			delete(f.cached, e.call.ID)
		}
	}
	if len(f.cached) > maxCached {
		f.cached = map[string]*entry{}
	}
}

func (w *writer) load(ctx context.Context, id string) (*entry, error) {
	var e entry
	var folded []byte
	err := w.find.QueryRowContext(ctx, id).Scan(&e.n, &folded, &e.events)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(folded, &e.call); err != nil { //nolint:musttag // written by this version of this package alone
		return nil, &unusableError{fmt.Errorf("call %s: %w", id, err)}
	}
	e.tally = tallied(&e.call)
	return &e, nil
}
