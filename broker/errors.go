package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Kind sorts errors by what a caller can do about them. Each edge maps it once:
// to HTTP status, JSON-RPC code or exit code.
type Kind uint8

// The kinds of error.
const (
	Internal       Kind = iota // a defect of the broker; the public text is fixed
	Invalid                    // malformed, or at odds with a schema: mend the call
	Denied                     // policy or a person said no
	Lapsed                     // a hold expired, or what was approved is not what would run: call again
	NotFound                   // no such tool or call, or not for this caller
	Conflict                   // already decided or closed
	Overloaded                 // a limit was reached: back off
	LogUnavailable             // the intent was not acknowledged: nothing was done, calling again is safe
	Upstream                   // the upstream refused, or was not reached
	OutcomeUnknown             // the tool may have acted: do not call again, a person must look
)

// String is the kind's name in JSON, metrics and the CLI.
func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case Denied:
		return "denied"
	case Lapsed:
		return "lapsed"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case Overloaded:
		return "overloaded"
	case LogUnavailable:
		return "log_unavailable"
	case Upstream:
		return "upstream"
	case OutcomeUnknown:
		return "outcome_unknown"
	case Internal:
		return "internal"
	default:
		return "internal"
	}
}

// Error is what every method of [Broker] fails with.
type Error struct {
	Kind     Kind
	Op       string          // what was being done, for the log
	Public   string          // for the client: what was refused and what would help
	Err      error           // the cause, for the log; never shown to a client
	CallID   string          // of the call it concerns, if there is a record of it
	Decision *audit.Decision // what policy said, if it did
	Retry    time.Duration   // when calling again may succeed; 0 if unknown
}

// Error is for logs. Show clients Public.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s: %s", e.Op, e.Kind, e.Public)
	}
	return fmt.Sprintf("%s: %s: %v", e.Op, e.Kind, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrMoved says that a log has ended: its history goes on in another (package migrate).
var ErrMoved = errors.New("this log was moved")

// KeyError tells that the log's checkpoints are signed with another key than this
// replica has, and no key that it has beside. All replicas that share a log share its key.
type KeyError struct {
	InForce string // the verifier key that the log names
	Own     string
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("the log is sealed with the key %s, this replica has %s", e.InForce, e.Own)
}

// AsError gives the *Error in err's chain, or wraps err as Internal.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Op: "broker", Public: "internal error", Err: err}
}
