package index

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"

	sqlitelib "modernc.org/sqlite/lib"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/internal/direct"
)

// maxCached is how many open calls are kept in memory between batches.
const maxCached = 20_000

// folder turns batches of records into rows.
type folder struct {
	index    *Index
	payloads audit.Payloads
	at       place
	cached   map[string]*entry // calls by id, as they are in the file
	gone     []string          // calls whose arguments this batch says are erased
}

// entry is a call as it is folded.
type entry struct {
	n      int64
	call   calls.Call
	events []storedEntry // the first MaxEvents
	tally  string        // the outcome that it is counted under; "" if it is not counted
	fate   string        // the same for precedents
	beats  int           // how many of its beats are counted
	opened audit.Cursor  // after the record that opened it, if that was in this batch

	fresh bool // not in the file
	dirty bool // changed since it was stored
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
func isDuplicate(err error) bool { return direct.Code(err) == sqlitelib.SQLITE_CONSTRAINT }

func (f *folder) try(ctx context.Context, batch []item, intentsAreNew bool) error {
	at := f.at
	f.gone = nil
	var touched []*entry
	err := f.index.writing(func(w *writer) (err error) {
		if touched, err = f.fold(w, batch, &at, intentsAreNew); err != nil {
			return err
		}
		return f.store(ctx, w, batch, touched, at)
	})
	if err != nil {
		f.cached = map[string]*entry{} // they are ahead of the file
		return err
	}
	f.at = at
	f.forget(touched)
	if len(f.gone) > 0 {
		return f.index.truncate(ctx)
	}
	return nil
}

// fold applies the records of a batch, and returns the calls that changed: those that
// are in the file in its order, then the new ones. The full text takes them only so.
func (f *folder) fold(w *writer, batch []item, at *place, intentsAreNew bool) (touched []*entry, err error) {
	var fresh []*entry
	for _, it := range batch {
		runtime.Gosched() // calls that are under way come first
		e, err := f.apply(w, it, at, intentsAreNew)
		switch {
		case err != nil:
			return nil, err
		case e == nil || e.dirty:
			continue
		case e.fresh:
			fresh = append(fresh, e)
		default:
			touched = append(touched, e)
		}
		e.dirty = true
	}
	last := batch[len(batch)-1]
	digest := sha256.Sum256(last.record.Stored)
	at.records += int64(len(batch))
	at.cursor, at.before = last.record.Next, last.before
	at.last, at.digest = last.record.Position.String(), digest[:]
	slices.SortFunc(touched, func(a, b *entry) int { return cmp.Compare(a.n, b.n) })
	return append(touched, fresh...), nil
}

// apply folds one record into its call, which it returns; nil if it belongs to none.
func (f *folder) apply(w *writer, it item, at *place, intentsAreNew bool) (*entry, error) {
	e, err := it.record.Event()
	if err != nil { // for the verifier to report
		return nil, nil //nolint:nilerr // a record that does not parse belongs to no call
	}
	at.newest = latest(at.newest, e.Time)
	if e.Type == audit.PayloadsErased {
		f.erased(e)
	}
	if e.Topic != audit.TopicCalls {
		return nil, nil
	}
	call, err := f.entry(w, e.Subject, intentsAreNew && e.Type == audit.CallIntent)
	if err != nil {
		return nil, err
	}
	p := it.record.Position
	if call.call.State == calls.None {
		call.opened = it.record.Next
	}
	counted, err := call.call.Apply(e, p)
	told := Entry{Position: p, ID: e.ID, Type: e.Type, Time: e.Time, Source: e.Source, Counted: counted}
	if err != nil {
		v, ok := errors.AsType[*calls.Violation](err)
		if !ok {
			return nil, err
		}
		told.Finding = v.Error()
	}
	if len(call.events) < MaxEvents {
		call.events = append(call.events, storedEntry{Entry: told, From: it.before})
	}
	return call, nil
}

// erased notes the calls that an erasure names, whichever replica carries it out.
func (f *folder) erased(e audit.Event) {
	if data, err := audit.DataOf[audit.Erasure](e); err == nil { // else for the verifier to report
		f.gone = append(f.gone, f.index.unforgotten(data.Calls)...)
	}
}

func (f *folder) entry(w *writer, id string, isNew bool) (*entry, error) {
	if e, ok := f.cached[id]; ok {
		return e, nil
	}
	var e *entry
	if !isNew {
		var err error
		if e, err = w.load(id); err != nil {
			return nil, err
		}
	}
	if e == nil {
		e = &entry{fresh: true}
	}
	f.cached[id] = e
	return e, nil
}

func (f *folder) store(ctx context.Context, w *writer, batch []item, touched []*entry, at place) error {
	heads := f.heads(ctx, batch)
	for _, e := range touched {
		runtime.Gosched()
		arguments, ok := heads[e.opened]
		if !ok {
			arguments = argumentsOf(ctx, f.payloads, &e.call)
		}
		if err := w.store(e, arguments); err != nil {
			return fmt.Errorf("store call: %w", err)
		}
	}
	if err := w.storeTallies(); err != nil {
		return fmt.Errorf("count calls: %w", err)
	}
	if err := errors.Join(w.storePulse(at.newest), w.storePrecedents(), w.storeSpans()); err != nil {
		return fmt.Errorf("count calls: %w", err)
	}
	if len(f.gone) > 0 {
		if err := w.forget(ctx, nil, f.gone); err != nil {
			return fmt.Errorf("forget arguments: %w", err)
		}
	}
	return w.place(at)
}

// Heads are payloads that can be read many at once, such as those of the embedded log.
type Heads interface {
	PayloadHeads(ctx context.Context, after, upTo audit.Cursor, name string, size int) (map[audit.Cursor][]byte, error)
}

// heads are the arguments of the calls that a batch opens, as far as they can be read
// together. Those that are missing are asked for one by one.
func (f *folder) heads(ctx context.Context, batch []item) map[audit.Cursor][]byte {
	many, ok := f.payloads.(Heads)
	if !ok {
		return nil
	}
	heads, err := many.PayloadHeads(ctx, batch[0].before, batch[len(batch)-1].record.Next, audit.PayloadArguments, MaxText)
	if err != nil {
		return nil
	}
	return heads
}

// argumentsOf are what a call was made with: nil if they were erased, or cannot be
// read. They are only there to be searched.
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
		e.fresh, e.dirty, e.opened = false, false, ""
		if !e.call.Open() {
			delete(f.cached, e.call.ID)
		}
	}
	if len(f.cached) > maxCached {
		f.cached = map[string]*entry{}
	}
}
