package index

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"
)

// Calls are numbered in the order of the log, which is not quite that of their times:
// replicas' clocks differ, and logs are read side by side. spans says which numbers were
// opened in each moment, minute and day, so that a search by time looks at those alone.
// These are in milliseconds, each so many of those before it.
const (
	spanMoment = 100
	spanMinute = 60_000
	spanDay    = 86_400_000
)

// spanKey is a stretch of time, and span the least and the greatest number of a call opened in it.
type (
	spanKey struct{ unit, bucket int64 }
	span    struct{ first, last int64 }
)

func (s span) with(n int64) span { return span{min(s.first, n), max(s.last, n)} }

// spanned notes when a call was opened.
func (w *writer) spanned(n int64, opened time.Time) {
	for _, unit := range []int64{spanMoment, spanMinute, spanDay} {
		key := spanKey{unit, opened.UnixMilli() / unit}
		s, ok := w.spans[key]
		if !ok {
			s = span{n, n}
		}
		w.spans[key] = s.with(n)
	}
}

// storeSpans writes what [writer.spanned] has noted.
func (w *writer) storeSpans() error {
	for k, s := range w.spans {
		if err := w.addSpan.Run(k.unit, k.bucket, s.first, s.last); err != nil {
			return err
		}
	}
	return nil
}

// within are the numbers among which all calls are that were opened in a time; none if
// first is after last. Those among them that were not are left to the search.
func within(ctx context.Context, db *sql.DB, since, until time.Time) (first, last int64, err error) {
	first, last = 1, math.MaxInt64
	if !since.IsZero() {
		at := since.UnixMilli()
		first, err = least(ctx, db, `SELECT min(first) FROM spans WHERE unit = ? AND bucket BETWEEN ? AND ? UNION ALL
			SELECT min(first) FROM spans WHERE unit = ? AND bucket > ? AND bucket <= ? UNION ALL SELECT min(first) FROM spans WHERE unit = ? AND bucket > ?`,
			spanMoment, at/spanMoment, (at/spanMinute+1)*spanMinute/spanMoment-1, spanMinute, at/spanMinute, (at/spanDay+1)*spanDay/spanMinute-1, spanDay, at/spanDay)
	}
	if err == nil && !until.IsZero() {
		at := until.UnixMilli()
		last, err = least(ctx, db, `SELECT -max(last) FROM spans WHERE unit = ? AND bucket BETWEEN ? AND ? UNION ALL
			SELECT -max(last) FROM spans WHERE unit = ? AND bucket >= ? AND bucket < ? UNION ALL SELECT -max(last) FROM spans WHERE unit = ? AND bucket < ?`,
			spanMoment, at/spanMinute*spanMinute/spanMoment, at/spanMoment, spanMinute, at/spanDay*spanDay/spanMinute, at/spanMinute, spanDay, at/spanDay)
		if last = -last; last == -math.MaxInt64 {
			last = 0 // there is nothing before it
		}
	}
	return first, last, err
}

// least is the least number that a query gives; the greatest there is if it gives none.
func least(ctx context.Context, db *sql.DB, query string, args ...any) (n int64, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	n = math.MaxInt64
	for rows.Next() {
		var found sql.NullInt64
		if err := rows.Scan(&found); err != nil {
			return 0, err
		}
		if found.Valid {
			n = min(n, found.Int64)
		}
	}
	return n, rows.Err()
}
