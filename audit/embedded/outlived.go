package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Bounds of erasing: the records that one [Log.Outlived] tells of, and those that the
// writer takes at once while appends wait.
const (
	maxOutlived  = 20_000
	erasedAtOnce = 500
)

// Outlived tells which records of a log are older than a moment and have payloads that
// are not erased: those from one index up to another, some of the oldest. The indexes
// are the same if there are none.
func (l *Log) Outlived(ctx context.Context, log string, before time.Time) (from, to int64, err error) {
	if from, to, err = l.read.outlived(ctx, log, before); err != nil {
		return 0, 0, fmt.Errorf("find payloads of %s: %w", log, err)
	}
	return from, to, nil
}

func (r *Reader) outlived(ctx context.Context, log string, before time.Time) (from, to int64, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT r.idx FROM payloads p CROSS JOIN records r ON r.seq = p.id / ?
		WHERE p.body IS NOT NULL AND r.log = (SELECT id FROM logs WHERE name = ?) ORDER BY p.id LIMIT 1`, audit.MaxPayloads, log).Scan(&from)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fileError(r.path, err)
	}
	var size int64
	if err := r.db.QueryRowContext(ctx, `SELECT max(idx) + 1 FROM records WHERE log = (SELECT id FROM logs WHERE name = ?)`, log).Scan(&size); err != nil {
		return 0, 0, fileError(r.path, err)
	}
	// A log is in the order of time, but for the clocks of those who write it.
	n := sort.Search(int(min(size-from, maxOutlived)), func(n int) bool {
		var when time.Time
		if err == nil {
			when, err = r.timeOf(ctx, audit.Position{Log: log, Index: from + int64(n)})
		}
		return !when.Before(before)
	})
	return from, from + int64(n), err
}

func (r *Reader) timeOf(ctx context.Context, p audit.Position) (time.Time, error) {
	e, err := r.at(ctx, p)
	if err != nil {
		return time.Time{}, err
	}
	event, err := audit.ParseEvent(e.body)
	return event.Time, err
}

// EraseOutlived erases the payloads of the records of a log from one index up to
// another, as [Log.Erase] does.
func (l *Log) EraseOutlived(ctx context.Context, log string, from, to int64) error {
	id, err := l.read.id(ctx, log)
	for ; err == nil && from < to; from += erasedAtOnce {
		err = l.hand(ctx, func(w *writer) error {
			return w.eraseRange.Run(int64(audit.MaxPayloads), int64(audit.MaxPayloads), id, from, min(from+erasedAtOnce, to))
		})
	}
	if err != nil {
		return fmt.Errorf("erase payloads of %s from %d to %d: %w", log, from, to, err)
	}
	return nil
}
