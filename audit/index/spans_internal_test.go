package index

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whenever calls were opened, a search by time looks at all that were opened then.
func TestSpansHaveAllThatIsWithin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	i, err := Open(t.Context(), filepath.Join(dir, FileName), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	base := time.Date(2026, 11, 24, 23, 59, 59, 0, time.UTC)
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		scale := rapid.SampledFrom([]time.Duration{time.Microsecond, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "scale")
		return base.Add(scale * time.Duration(rapid.IntRange(-99, 99).Draw(t, "n")))
	})
	rapid.Check(t, func(t *rapid.T) {
		opened := rapid.SliceOfN(moment, 1, 20).Draw(t, "opened")
		err := i.writing(func(w *writer) error {
			if err := w.conn.Exec(context.Background(), `DELETE FROM spans`); err != nil {
				return err
			}
			for n, at := range opened {
				w.spanned(int64(n+1), at)
			}
			return w.storeSpans()
		})
		if err != nil {
			t.Fatal(err)
		}
		since, until := moment.Draw(t, "since"), moment.Draw(t, "until")
		var first, last int64
		if err := i.reading(func(db *sql.DB) error { first, last, err = within(context.Background(), db, since, until); return err }); err != nil {
			t.Fatal(err)
		}
		for n, at := range opened {
			if in := !at.Before(since) && at.Before(until); in && (int64(n+1) < first || int64(n+1) > last) {
				t.Fatalf("call %d of %s is not among %d to %d, for %s to %s", n+1, at, first, last, since, until)
			}
		}
	})
}
