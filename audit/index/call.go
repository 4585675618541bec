package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

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
	var h History
	err := i.reading(func(db *sql.DB) error {
		var n int64
		var folded []byte
		if err := db.QueryRowContext(ctx, `SELECT n, folded FROM calls WHERE id = ?`, id).Scan(&n, &folded); err != nil {
			return err
		}
		if err := json.Unmarshal(folded, &h.Folded); err != nil { //nolint:musttag // written by this version of this package alone
			return &unusableError{err}
		}
		h.Summary = summarize(&h.Folded)
		var err error
		h.Events, err = events(ctx, db, n)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = audit.ErrNotFound
	}
	if err != nil {
		return History{}, fmt.Errorf("find call: %w", err)
	}
	return h, nil
}

func events(ctx context.Context, db *sql.DB, n int64) ([]Entry, error) {
	rows, err := db.QueryContext(ctx, `SELECT log, idx, before, id, type, time, source, counted, finding
		FROM events WHERE call = ? ORDER BY seq LIMIT ?`, n, MaxEvents)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []Entry
	for rows.Next() {
		var e Entry
		var when int64
		if err := rows.Scan(&e.Position.Log, &e.Position.Index, &e.Before, &e.ID, &e.Type, &when, &e.Source, &e.Counted, &e.Finding); err != nil {
			return nil, err
		}
		e.Time = fromNanos(when)
		out = append(out, e)
	}
	return out, rows.Err()
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
// they were indexed, and leaves no trace of them in the file. Unknown calls are
// skipped.
func (i *Index) Erased(ctx context.Context, payloads audit.Payloads, ids ...string) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	tx, err := i.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("forget arguments: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	w, err := newWriter(ctx, tx)
	if err != nil {
		return fmt.Errorf("forget arguments: %w", err)
	}
	for _, id := range ids {
		e, err := w.load(ctx, id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err == nil {
			_, err = w.word.ExecContext(ctx, e.n, textOf(&e.call, argumentsOf(ctx, payloads, &e.call)))
		}
		if err != nil {
			return fmt.Errorf("forget arguments: %w", err)
		}
	}
	// Deleting leaves a tombstone; merging the full text removes what is under it.
	if _, err := tx.ExecContext(ctx, `INSERT INTO words(words) VALUES('optimize')`); err != nil {
		return fmt.Errorf("forget arguments: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("forget arguments: %w", err)
	}
	if _, err := i.write.ExecContext(ctx, `PRAGMA wal_checkpoint(truncate)`); err != nil {
		return fmt.Errorf("forget arguments: %w", err)
	}
	return nil
}
