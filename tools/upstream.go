package tools

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/deedbroker/deed/tools/credentials"
)

// Errors of an [Upstream]'s Call that tell what may have happened. Each is wrapped with the cause.
var (
	// ErrNotSent: the call never reached the upstream. Nothing was done.
	ErrNotSent = errors.New("upstream not reached")
	// ErrUncertain: the upstream may have acted: it died, hung or went out of reach
	// after the call was sent. The call must not be sent again by itself.
	ErrUncertain = errors.New("upstream did not answer")
	// ErrTooLarge: the upstream answered, with more than is taken of it. It comes with ErrUncertain: what it said is not known.
	ErrTooLarge = errors.New("its answer is too large")
	// ErrUnanswered: the upstream asked the caller something in the middle of the
	// call, and got no answer. It has not finished, and goes no further.
	ErrUnanswered = errors.New("the caller did not answer what the tool asked")
)

// RPCError is the upstream's own refusal: a JSON-RPC error. Nothing else is known to have been done.
type RPCError struct {
	Code    int
	Message string
	Data    json.RawMessage
}

// Error is the upstream's message.
func (e *RPCError) Error() string { return e.Message }

// Upstream is what stands behind tools. Implementations MUST pass the suite of
// package toolstest and be safe for concurrent use.
type Upstream interface {
	// Definitions returns the tool definitions, each as the raw JSON of an MCP Tool.
	Definitions(ctx context.Context) ([]json.RawMessage, error)

	// Call runs a tool. It returns an answer of the tool (which may say isError),
	// an *RPCError, or an error that wraps ErrNotSent or ErrUncertain. When ctx
	// ends the upstream is told, and the error wraps ErrUncertain.
	Call(ctx context.Context, c Call) (Answer, error)

	// Run keeps the upstream alive until ctx is done, calling changed whenever its
	// definitions may differ or its health has changed.
	Run(ctx context.Context, changed func()) error

	// Health is nil when the upstream can take calls, else why it cannot.
	Health() error
}

// Call is one call for an upstream.
type Call struct {
	ID          string // the broker's call id
	Tool        string // by the upstream's own name
	Definition  string // the digest of the definition that was decided on; empty: whatever it is
	Method      string // the MCP method: [MethodCall], or that of an operation whose params the arguments are
	Arguments   json.RawMessage
	TraceParent string
	AsTask      bool // the definition says that the tool can, or must, be called as a task

	// IdempotencyKey is the same for every repeat of the call and for nothing else, to be passed on
	// where the upstream has a place for it; empty if the caller gave none.
	IdempotencyKey string
	// Notify receives progress and log notifications of this call as raw params; may be nil.
	Notify func(method string, params json.RawMessage)
	// LogLevel is the least level of log messages that the caller wants; empty for none.
	LogLevel string
	// Began is told that the upstream works on the call as a task that it can be asked about later,
	// with what [Follower] needs for that; may be nil. It returns before the upstream is asked anything more.
	Began func(task json.RawMessage)
	// Subject is the caller, for upstreams that are shown a credential of theirs. Its
	// token itself never travels upstream.
	Subject credentials.Subject
	// Used is told which credential the upstream was shown; may be nil.
	Used func(credentials.Reference)
	Asking
}

// Asking is how an upstream may ask the caller something in the middle of a call:
// MCP elicitation, sampling and roots.
type Asking struct {
	// Ask puts questions to the caller and waits for the answers; nil if the caller
	// cannot be asked. Both are objects by keys that the upstream chooses: the questions
	// as inputRequests and the answers as inputResponses of MCP 2026-07-28. Its
	// error is an [*RPCError] when it is the caller's own.
	Ask func(ctx context.Context, questions json.RawMessage) (answers json.RawMessage, err error)
	// Capabilities are what the caller says that it can be asked: an MCP
	// ClientCapabilities object; nil for nothing.
	Capabilities json.RawMessage
	// Answers came with the call, to questions that were not asked yet; may be nil.
	Answers json.RawMessage
}

// Answer is what a tool said.
type Answer struct {
	Raw     json.RawMessage // an MCP CallToolResult, unaltered
	IsError bool
}
