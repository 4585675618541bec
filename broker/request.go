package broker

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
)

// Request is one call by a verified caller: of a tool, or of what MCP has beside tools.
type Request struct {
	Identity  *agents.Identity
	Tool      string // upstream.tool
	Method    string // the MCP method; empty for tools.MethodCall
	Arguments []byte // as the client sent them

	Client         string // what the client calls itself; unverified, bounded by the edge
	Protocol       string // MCP revision
	IdempotencyKey string // makes a repeat of the call that call; at most 128 bytes
	TraceParent    string // W3C, of the caller's span
	Justification  string // why the agent says that it makes the call; unverified, bounded by the edge

	// Subject is the caller's token, for upstreams that exchange it. It is kept for as long
	// as the request is open, and travels to no upstream.
	Subject credentials.Subject

	// LacksScopes are those that the tool needs and the token does not have, by the
	// edge's rules: with any, the call is refused, on record.
	LacksScopes []string

	// Waiting is told while the call is held, at once and then at intervals; may be nil.
	Waiting func(Pending)
	// TaskUntil has the call kept as a task, whose outcome can be asked for until then; zero: it is not one.
	TaskUntil time.Time
	// TaskIfHeld has it kept only if it is held.
	TaskIfHeld bool
	// Begun is told, once, when the call is on record and can be found as a task; may be nil.
	Begun func(callID string)
	// NoWait has a held call answered as pending at once, rather than after HoldWait.
	NoWait bool
	// Notify receives the tool's progress and log notifications as raw params; may be nil.
	Notify   func(method string, params json.RawMessage)
	LogLevel string // the least level of log notifications; empty for none
	// Asking is how the tool may ask the caller something.
	tools.Asking
}

// Causes of the end of a request's context that end the call too: its tool is told
// to stop. Without one of them the tool runs to its end.
var (
	// ErrCancelled: the caller cancelled the call, be it held or running.
	ErrCancelled = errors.New("cancelled by its caller")
	// ErrLeft: the caller went away, which ends what is running; a held call stays held.
	ErrLeft = errors.New("its caller has left")
)

// ends reports whether the end of a request's context ends its call.
func ends(cause error) bool { return errors.Is(cause, ErrCancelled) || errors.Is(cause, ErrLeft) }

// Reply answers a call: with what the tool said, or with why it is still waiting.
type Reply struct {
	CallID   string
	Answer   tools.Answer
	Spooled  bool     // the answer's record is kept by this replica until the log is back
	Repeated bool     // the call was made before, and this is that one
	Pending  *Pending // set while the call is held or running; Answer is empty then
	Edited   *Edited  // set if people changed the arguments before it ran
}

// Pending is a call that waits, for people or for its tool.
type Pending struct {
	CallID    string         `json:"call_id"`
	Tool      string         `json:"tool"`
	Released  bool           `json:"released"`            // permitted, and running
	Approvers []string       `json:"approvers,omitempty"` // roles that the hold waits for
	Votes     int            `json:"votes"`               // approvals so far
	Expires   time.Time      `json:"expires,omitzero"`    // of the hold
	Reasons   []audit.Reason `json:"reasons,omitempty"`
	Waited    time.Duration  `json:"-"` // since the call was made
}

// Edited tells an agent that its call ran with other arguments than it asked for.
type Edited struct {
	By        string          `json:"by"`
	Reason    string          `json:"reason,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"` // with which it ran; nil if they have been erased
}

// Vote is one person's answer to a held call.
type Vote struct {
	Identity *agents.Identity // must be a person
	CallID   string
	Verdict  audit.Verdict
	Digest   string // the call digest that the person was shown
	Shown    string // digest of the sentence that the person was shown; empty where none was
	Reason   string // required to deny; reaches the agent
}
