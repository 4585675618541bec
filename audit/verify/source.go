package verify

import (
	"context"
	"errors"
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

// Beside is a [Source] that can give records together with their payloads, those that
// are there, which takes less than asking for each.
type Beside interface {
	ReadBeside(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Attached, error]
}

// Hashed is a [Source] that keeps the hashes of its trees. They prove nothing, but
// tell which record is not what it was.
type Hashed interface {
	Hashes(ctx context.Context, log string) tlog.HashReader
}

// Partial is a [Source] that has only some logs, or only the later part of them.
type Partial interface {
	// Part says at which record a log begins, and gives the roots of the complete
	// subtrees before it, the largest first. Neither is trusted. It is false for a
	// log that is not there.
	Part(log string) (from int64, before []tlog.Hash, ok bool)
}

// ErrWithheld is the error of a payload that a [Source] leaves out on purpose.
var ErrWithheld = errors.New("payload withheld")
