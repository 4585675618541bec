package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/audit"
)

// Start is where to read a log from for the calls that were opened since a time.
type Start struct {
	From  audit.Cursor // the log yields the opening of the first of them next
	First time.Time    // when it was opened
	Calls int64        // how many there are from there on
}

// Since finds where the last calls begin that were opened since a time, at most so many
// of them. There is no start, with [audit.ErrNotFound], if there are none.
func (i *Index) Since(ctx context.Context, since time.Time, most int64) (Start, error) {
	i.fresh(ctx)
	var s Start
	err := i.reading(func(db *sql.DB) error {
		var first, last int64
		err := db.QueryRowContext(ctx, `SELECT n, (SELECT max(n) FROM calls) FROM calls WHERE opened >= ? ORDER BY opened, n LIMIT 1`, nanos(since)).Scan(&first, &last)
		if err != nil {
			return err
		}
		var events []byte
		var opened int64
		if err := db.QueryRowContext(ctx, `SELECT n, opened, events FROM calls WHERE n >= ? ORDER BY n LIMIT 1`, max(first, last-most+1)).Scan(&first, &opened, &events); err != nil {
			return err
		}
		var stored []storedEntry
		if err := json.Unmarshal(events, &stored); err != nil || len(stored) == 0 {
			return &unusableError{fmt.Errorf("call %d has no events: %w", first, err)}
		}
		s = Start{From: stored[0].From, First: fromNanos(opened), Calls: last - first + 1}
		return nil
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = audit.ErrNotFound
	}
	if err != nil {
		return Start{}, fmt.Errorf("find calls since %s: %w", since.UTC().Format(time.RFC3339), err)
	}
	return s, nil
}
