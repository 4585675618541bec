package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxMoments is how many steps an [Overview] can have.
const MaxMoments = 200

// Counts are how often what happened in a time. A call is counted when it is opened or
// refused, and again when it is released or ends.
type Counts struct {
	Calls     int64 // opened, or refused before that
	Held      int64 // of them, held for people
	Approved  int64 // released by people
	Results   int64
	Failed    int64
	Denied    int64 // by policy or by people
	Expired   int64
	Cancelled int64
	Unknown   int64
}

func (c *Counts) of(kind string) *int64 {
	switch kind {
	case pulseCall:
		return &c.Calls
	case pulseHeld:
		return &c.Held
	case pulseApproved:
		return &c.Approved
	case "result":
		return &c.Results
	case "failed":
		return &c.Failed
	case "denied":
		return &c.Denied
	case "expired":
		return &c.Expired
	case "cancelled":
		return &c.Cancelled
	case "unknown":
		return &c.Unknown
	default:
		return nil
	}
}

// Moment is one step of an overview.
type Moment struct {
	At time.Time // its beginning
	Counts
}

// Overview is what happened in a time, as a whole and step by step.
type Overview struct {
	Since, Until time.Time
	Total        Counts
	Moments      []Moment // all of one length, the first at Since

	Decided  int64         // held calls that people decided
	P50, P95 time.Duration // of the time that took, at most a tenth off
}

// Overview counts what happened in these domains in n steps that end with the one that
// until is in. Steps are whole minutes; those longer than a few minutes may be whole hours,
// and of more than a week they have to be. What it costs depends on the number of steps and
// domains, not on that of calls.
func (i *Index) Overview(ctx context.Context, until time.Time, step time.Duration, n int, domains ...string) (Overview, error) {
	unit := int64(pulseMinute)
	if step%time.Hour == 0 {
		unit = pulseHour
	}
	size := int64(step/time.Second) / unit
	if n < 1 || n > MaxMoments || step <= 0 || step%time.Minute != 0 || unit == pulseMinute && time.Duration(n)*step > keepMinutes {
		return Overview{}, fmt.Errorf("count history: %w: want 1 to %d steps of whole minutes, or of whole hours", ErrQuery, MaxMoments)
	}
	end := bucketOf(until, unit)/size*size + size
	begin := end - size*int64(n)
	o := Overview{Since: time.Unix(begin*unit, 0).UTC(), Until: time.Unix(end*unit, 0).UTC(), Moments: make([]Moment, n)}
	for m := range o.Moments {
		o.Moments[m].At = o.Since.Add(time.Duration(m) * step)
	}
	if len(domains) == 0 {
		return o, nil
	}
	list, err := json.Marshal(domains)
	if err != nil {
		return Overview{}, fmt.Errorf("count history: %w", err)
	}
	i.fresh(ctx)
	var waits [waitBuckets]int64
	err = i.reading(func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT (bucket - ?) / ?, kind, sum(n) FROM pulse
			WHERE unit = ? AND bucket >= ? AND bucket < ? AND domain IN (SELECT value FROM json_each(?)) GROUP BY 1, 2`,
			begin, size, unit, begin, end, string(list))
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			var step, count int64
			var kind string
			if err := rows.Scan(&step, &kind, &count); err != nil {
				return err
			}
			o.add(step, kind, count, &waits)
		}
		return rows.Err()
	})
	if err != nil {
		return Overview{}, fmt.Errorf("count history: %w", err)
	}
	o.P50, o.P95 = quantile(waits[:], o.Decided, 50), quantile(waits[:], o.Decided, 95)
	return o, nil
}

func (o *Overview) add(step int64, kind string, count int64, waits *[waitBuckets]int64) {
	if bucket, ok := strings.CutPrefix(kind, pulseWaited); ok {
		if n, err := strconv.Atoi(bucket); err == nil && n >= 0 && n < waitBuckets {
			waits[n] += count
			o.Decided += count
		}
		return
	}
	if n := o.Total.of(kind); n != nil {
		*n += count
		*o.Moments[step].of(kind) += count
	}
}

// quantile is the time within which a percentage of all were decided.
func quantile(waits []int64, all, percent int64) time.Duration {
	if all == 0 {
		return 0
	}
	rank, seen := (all*percent+99)/100, int64(0)
	for n, count := range waits {
		if seen += count; seen >= rank {
			return waitOf(n)
		}
	}
	return waitOf(len(waits) - 1)
}
