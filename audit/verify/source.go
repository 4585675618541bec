package verify

import (
	"context"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// Source is a history as somebody keeps it; the embedded log's Reader is one.
// What it returns is not trusted.
type Source interface {
	// Sizes returns how many records each log has, by name.
	Sizes(ctx context.Context) (map[string]int64, error)
	// Read yields the records after from: those of each log in the order of
	// their index. An error is the last thing yielded.
	Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
	// Record returns the record at p, or an error that wraps [audit.ErrNotFound].
	Record(ctx context.Context, p audit.Position) (audit.Record, error)

	audit.Payloads
}

// Trimmed is a [Source] from which retention may have removed the oldest records.
type Trimmed interface {
	// First is the index of the first record of a log that is there.
	First(ctx context.Context, log string) (int64, error)
}

// Hashed is a [Source] that keeps the hashes of its trees. They prove nothing, but
// tell which record is not what it was.
type Hashed interface {
	Hashes(ctx context.Context, log string) tlog.HashReader
}
