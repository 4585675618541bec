package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Entry is one event of a call, and where to read it.
type Entry struct {
	Position audit.Position `json:"position"`
	Before   audit.Cursor   `json:"-"` // the log yields the event first when read from here
	ID       string         `json:"id"`
	Type     audit.Type     `json:"type"`
	Time     time.Time      `json:"time"`
	Source   string         `json:"source"`
	Counted  bool           `json:"counted"`           // false: it lost a race, or says nothing new
	Finding  string         `json:"finding,omitempty"` // why no honest broker wrote it
}

// History is all that is known of a call.
type History struct {
	Summary
	Folded calls.Call
	Events []Entry // in the order of the log
}

// MaxEvents bounds the events of one call that [Index.Call] returns.
const MaxEvents = 1000

// Call returns the history of a call, or [audit.ErrNotFound]. Whether the viewer
// may read its domain is for the caller to check.
func (i *Index) Call(ctx context.Context, id string) (History, error) {
	i.fresh(ctx)
	var h History
	err := i.reading(func(db *sql.DB) error {
		var folded, events []byte
		if err := db.QueryRowContext(ctx, `SELECT folded, events FROM calls WHERE id = ?`, id).Scan(&folded, &events); err != nil {
			return err
		}
		var stored []storedEntry
		if err := errors.Join(json.Unmarshal(folded, &h.Folded), json.Unmarshal(events, &stored)); err != nil {
			return &unusableError{err}
		}
		h.Summary = summarize(&h.Folded)
		for _, e := range stored {
			e.Before = e.From
			h.Events = append(h.Events, e.Entry)
		}
		return nil
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = audit.ErrNotFound
	}
	if err != nil {
		return History{}, fmt.Errorf("find call: %w", err)
	}
	return h, nil
}

// storedEntry is an entry as its call's row has it.
type storedEntry struct {
	Entry `json:",inline"`

	From audit.Cursor `json:"from"` // Entry.Before
}

// Records is a log that gives single records, such as the embedded one.
type Records interface {
	Record(ctx context.Context, p audit.Position) (audit.Record, error)
}

// Read returns the stored record of an event of a call. A log that has no
// [Records] is read from the event's cursor on.
func (e Entry) Read(ctx context.Context, log audit.Log) (audit.Record, error) {
	if direct, ok := log.(Records); ok {
		return direct.Record(ctx, e.Position)
	}
	for r, err := range log.Read(ctx, e.Before) {
		if err == nil && r.Position != e.Position {
			err = fmt.Errorf("read %s: %w: %s stands there", e.Position, audit.ErrNotFound, r.Position)
		}
		return r, err
	}
	return audit.Record{}, fmt.Errorf("read %s: %w", e.Position, audit.ErrNotFound)
}

// Erased makes calls unfindable by arguments that were erased from payloads since
// they were indexed, or are about to be (payloads is then nil), and leaves no trace
// of them in the file. Unknown calls are skipped.
func (i *Index) Erased(ctx context.Context, payloads audit.Payloads, ids ...string) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.write == nil {
		return fmt.Errorf("forget arguments: %w", errClosed)
	}
	err := i.write.transact(func(w *writer) error { return w.forget(ctx, payloads, ids) })
	if err == nil {
		err = i.write.truncate(ctx)
	}
	if err != nil {
		return fmt.Errorf("forget arguments: %w", err)
	}
	return nil
}

// Forget is Erased for calls of which the log says, or is about to, that they are
// erased: the index does not do it a second time when it reads that.
func (i *Index) Forget(ctx context.Context, ids ...string) error {
	if err := i.Erased(ctx, nil, ids...); err != nil {
		return err
	}
	i.forgetting.Lock()
	defer i.forgetting.Unlock()
	for _, id := range ids {
		i.forgotten[id] = true
	}
	return nil
}

// unforgotten are the calls among some that [Index.Forget] has not seen to. It asks
// once about each.
func (i *Index) unforgotten(ids []string) []string {
	i.forgetting.Lock()
	defer i.forgetting.Unlock()
	var left []string
	for _, id := range ids {
		if !i.forgotten[id] {
			left = append(left, id)
		}
		delete(i.forgotten, id)
	}
	return left
}

func (w *writer) forget(ctx context.Context, payloads audit.Payloads, ids []string) error {
	for _, id := range ids {
		e, err := w.load(id)
		if err == nil && e != nil {
			err = w.addWords(e, argumentsOf(ctx, payloads, &e.call))
		}
		if err != nil {
			return err
		}
	}
	return w.merge(ctx)
}
