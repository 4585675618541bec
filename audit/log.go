package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Errors of a [Log]. Each is wrapped with what was being done.
var (
	// ErrUnavailable: the log cannot take events now, and nothing was stored.
	ErrUnavailable = errors.New("log unavailable")
	// ErrFull is an ErrUnavailable: there is no room for events that open a call.
	// The reserve may still take those that close one.
	ErrFull = fmt.Errorf("%w: no space left", ErrUnavailable)
	// ErrUncertain: no acknowledgement came in time. The event may be stored or not;
	// only reading the log tells.
	ErrUncertain = errors.New("log did not acknowledge in time")
	// ErrTooLarge: the event or a payload exceeds the log's limit, and was not stored.
	ErrTooLarge = errors.New("event too large")
	// ErrLocked: another process writes this log.
	ErrLocked = errors.New("log is in use by another process")
	// ErrCorrupt: what is stored is not what was written.
	ErrCorrupt = errors.New("log is corrupt")
	// ErrNotFound: no such record, payload or log.
	ErrNotFound = errors.New("not found")
	// ErrResidue: what was erased cannot be read by way of the log any more; but the store
	// below it still has what it could be made from, and was not permitted to forget that.
	ErrResidue = errors.New("erased, but the store has not forgotten it")
	// ErrErased: the payload was there and has been erased; its commitment stands.
	ErrErased = errors.New("payload erased")
	// ErrLost is an ErrErased: the payload never came to be stored, since whoever
	// wrote the event died before the log had acknowledged both. Nothing was done
	// upon it.
	ErrLost error = lost{}
)

type lost struct{}

// Error implements error.
func (lost) Error() string {
	return "payload lost: its writer died before the log acknowledged it"
}

// Is makes it an ErrErased.
func (lost) Is(target error) bool { return target == ErrErased }

// Log is the durable, ordered record of what agents did.
//
// An implementation MUST pass the suite of package audittest. It is safe for
// concurrent use.
type Log interface {
	// Append returns only once e and its payloads are durable: they survive the
	// death of the process and of the machine. Events with the same Subject keep
	// the order in which their Appends returned. When ctx ends first the error is
	// ErrUncertain (or ErrUnavailable, if it is known that nothing was stored).
	Append(ctx context.Context, e Event) (Position, error)

	// Read yields the records after from, in order, up to the end of the log as it
	// is when Read is called. The zero Cursor is the beginning. An error is the
	// last thing yielded.
	Read(ctx context.Context, from Cursor) iter.Seq2[Record, error]

	// Follow is Read that goes on with new records as they become durable, until
	// ctx is done: then it ends without an error.
	Follow(ctx context.Context, from Cursor) iter.Seq2[Record, error]
}

// Storer is a [Log] that knows later where an event stands than that it is durable.
type Storer interface {
	// Store is [Log.Append] for those who need not know where the event stands.
	Store(ctx context.Context, e Event) error
}

// Payloads gives back what was stored beside an event.
type Payloads interface {
	// Payload returns the payload called name of the record at p: ErrErased if it
	// was erased, ErrNotFound if there never was one.
	Payload(ctx context.Context, p Position, name string) (Payload, error)
}

// Eraser is a log whose payloads can be erased.
type Eraser interface {
	// EraseRecords erases all payloads of records for good: Payload answers ErrErased from then on. Their commitments
	// stand. What was erased before, or never had any, is passed over.
	EraseRecords(ctx context.Context, records ...Places) error
}

// Cursor is a place between records of a [Log], from which reading resumes.
// It is opaque, and valid for as long as the log is.
type Cursor string

// Position is where one record stands: its log (a Merkle tree of its own) and its
// index there, from 0.
type Position struct {
	Log   string `json:"log"`
	Index int64  `json:"index"`
}

// String is the form payments/calls@17, or payments/calls/2@17 in a topic with partitions.
func (p Position) String() string { return p.Log + "@" + strconv.FormatInt(p.Index, 10) }

// ParsePosition reads the form of [Position.String].
func ParsePosition(s string) (Position, error) {
	log, index, ok := strings.Cut(s, "@")
	n, err := strconv.ParseInt(index, 10, 64)
	if !ok || log == "" || err != nil || n < 0 {
		return Position{}, fmt.Errorf("parse position %q: want a form like payments/calls@17", s)
	}
	return Position{Log: log, Index: n}, nil
}

// Record is an event as stored.
type Record struct {
	Position Position
	Next     Cursor // resumes after this record
	Stored   []byte // the exact bytes; the Merkle leaf

	// Mismatches are what the record's place and its message say otherwise than its
	// event does. A log flags such a record and never holds it back.
	Mismatches []Mismatch
}

// Event parses the record. A record that does not parse, or that claims another
// log than the one it stands in, is an error for the reader to report: it never
// stops a log from being read.
func (r Record) Event() (Event, error) {
	e, err := ParseEvent(r.Stored)
	if err == nil && !e.BelongsIn(r.Position.Log) {
		err = fmt.Errorf("record %s is misrouted: its event says %s", r.Position, e.LogName())
	}
	return e, err
}
