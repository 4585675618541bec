package calls

import (
	"time"

	"github.com/deedbroker/deed/audit"
)

// State is where a call stands.
type State uint8

// The states of a call.
const (
	None     State = iota // no event yet
	Running               // permitted at once: its tool may be running
	Held                  // waits for people
	Released              // approved: its tool may be running
	Closed                // by the event in Call.Closing
)

// String is the state in words.
func (s State) String() string {
	switch s {
	case Running:
		return "running"
	case Held:
		return "held"
	case Released:
		return "released"
	case Closed:
		return "closed"
	case None:
		return "none"
	default:
		return "none"
	}
}

// Mark is an event of a call without its data: which, when, by whom and where.
type Mark struct {
	ID     string
	Type   audit.Type
	Source string // the replica
	Time   time.Time
	At     audit.Position
	Trace  string // W3C traceparent
}

// Vote is an approval that counts.
type Vote struct {
	Mark
	audit.Approval
}

// Call is what the events so far make of a call.
type Call struct {
	ID     string
	Domain string
	State  State

	Opening Mark // the intent, or the denial that stands alone
	Intent  audit.Intent

	Edits []Edit // of its arguments, in order; the last tells what runs
	Votes []Vote // for the arguments as they are now; one a person, the first that they cast

	Releasing Mark // the release that counts
	Release   audit.Release

	Closing Mark
	Outcome audit.Outcome

	Reconciled *audit.Reconciliation // of a call closed as unknown
}

// Open reports whether the call awaits a closing event.
func (c *Call) Open() bool { return c.State == Running || c.State == Held || c.State == Released }

// VoteOf returns the vote that a person has cast.
func (c *Call) VoteOf(issuer, principal string) (Vote, bool) {
	for _, v := range c.Votes {
		if v.By.Issuer == issuer && v.By.Principal == principal {
			return v, true
		}
	}
	return Vote{}, false
}

// Deadline is when a held call expires; zero if it is not held by policy.
func (c *Call) Deadline() time.Time {
	if c.Intent.Decision.Expires == nil {
		return time.Time{}
	}
	return *c.Intent.Decision.Expires
}
