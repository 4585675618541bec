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
// are not erased: those from one index up to another, some of the oldest from an index
// on. The indexes are the same if there are none.
func (l *Log) Outlived(ctx context.Context, log string, after int64, before time.Time) (from, to int64, err error) {
	if from, to, err = l.read.outlived(ctx, log, after, before); err != nil {
		return 0, 0, fmt.Errorf("find payloads of %s: %w", log, err)
	}
	return from, to, nil
}

func (r *Reader) outlived(ctx context.Context, log string, after int64, before time.Time) (from, to int64, err error) {
	first, err := r.locate(ctx, audit.Position{Log: log, Index: after})
	if errors.Is(err, audit.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	err = r.db.QueryRowContext(ctx, `SELECT r.idx FROM payloads p CROSS JOIN records r ON r.seq = p.id / ?
		WHERE p.body IS NOT NULL AND p.id >= ? AND r.log = (SELECT id FROM logs WHERE name = ?) ORDER BY p.id LIMIT 1`,
		audit.MaxPayloads, payloadID(first.seq, 0), log).Scan(&from)
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

// Unerased are the indexes, from one up to another, of the records of a log that have
// payloads which are not erased.
func (l *Log) Unerased(ctx context.Context, log string, from, to int64) ([]int64, error) {
	var indexes []int64
	rows, err := l.read.db.QueryContext(ctx, `SELECT DISTINCT r.idx FROM records r CROSS JOIN payloads p ON p.id >= r.seq * ? AND p.id < (r.seq + 1) * ?
		WHERE r.log = (SELECT id FROM logs WHERE name = ?) AND r.idx >= ? AND r.idx < ? AND p.body IS NOT NULL ORDER BY r.idx`,
		audit.MaxPayloads, audit.MaxPayloads, log, from, to)
	if err != nil {
		return nil, fmt.Errorf("find payloads of %s: %w", log, fileError(l.path, err))
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var i int64
		if err := rows.Scan(&i); err != nil {
			return nil, fmt.Errorf("find payloads of %s: %w", log, fileError(l.path, err))
		}
		indexes = append(indexes, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find payloads of %s: %w", log, fileError(l.path, err))
	}
	return indexes, nil
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
