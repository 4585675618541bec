package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Kind sorts errors by what a caller can do about them. The words are those that a
// broker uses on every edge.
type Kind string

// The kinds of error.
const (
	Invalid         Kind = "invalid"         // the call is malformed or does not fit the tool's schema: mend it
	Unauthenticated Kind = "unauthenticated" // the token is missing, expired or not meant for this broker: get another
	Denied          Kind = "denied"          // policy or a person said no
	Lapsed          Kind = "lapsed"          // a hold expired, or what was approved is not what would run: call again
	NotFound        Kind = "not_found"       // no such tool or call, or not for this caller
	Conflict        Kind = "conflict"        // already decided or closed
	Overloaded      Kind = "overloaded"      // a limit was reached: back off
	LogUnavailable  Kind = "log_unavailable" // nothing was done, calling again is safe
	Upstream        Kind = "upstream"        // the upstream refused, or was not reached
	OutcomeUnknown  Kind = "outcome_unknown" // the tool may have acted: do not call again, a person must look
	Internal        Kind = "internal"        // a defect of the broker
	Unreachable     Kind = "unreachable"     // there is no connection to the broker: nothing was sent
)

// Error is what the broker answered in place of an outcome, or why there is no answer.
type Error struct {
	Kind    Kind
	Message string // in words that people and models can act on
	CallID  string // of the call that it concerns, if there is a record of it
	Reasons []Reason
	Retry   time.Duration // after which trying again may succeed; 0 if unknown
	Status  int           // of the HTTP answer, if it was one
	StepUp  string        // how a person would have to log in (acr) to be let, if that would help
	Err     error         // the cause on this side, if there is one
}

// Reason is one policy that determined a decision.
type Reason struct {
	Policy string `json:"policy"`
	Effect string `json:"effect,omitempty"`
	Link   string `json:"link,omitempty"` // the link of the delegation chain that it spoke about
	Text   string `json:"reason,omitempty"`
}

// Error is the kind and the message.
func (e *Error) Error() string {
	return strings.ReplaceAll(string(e.Kind), "_", " ") + ": " + e.Message
}

// Unwrap is the cause on this side.
func (e *Error) Unwrap() error { return e.Err }

// refusal is an error as it stands in a problem document, in the data of a JSON-RPC
// error or in the _meta of a result.
type refusal struct {
	Title      string   `json:"title"`
	Detail     string   `json:"detail"`
	Kind       Kind     `json:"kind"`
	CallID     string   `json:"call_id"`
	Reasons    []Reason `json:"reasons"`
	RetryAfter float64  `json:"retry_after"` // seconds
	StepUp     string   `json:"step_up"`
}

func (r refusal) err(message string) *Error {
	return &Error{
		Kind: r.Kind, Message: message, CallID: r.CallID, Reasons: r.Reasons, StepUp: r.StepUp,
		Retry: time.Duration(r.RetryAfter * float64(time.Second)),
	}
}

const maxProblem = 256 << 10 // bytes of a problem document

// ReadProblem reads the answer to a request that failed: a problem document (RFC
// 9457) of a broker, or whatever something between it and here said. It does not
// close the body.
func ReadProblem(response *http.Response) *Error {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	var r refusal
	e := &Error{Kind: kindOf(response.StatusCode), Message: "the server answered " + response.Status, Err: err}
	if json.Unmarshal(text, &r) == nil && r.Kind != "" {
		e = r.err(firstOf(r.Detail, r.Title, e.Message))
	}
	e.Status = response.StatusCode
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && e.Retry == 0 && seconds > 0 {
		e.Retry = time.Duration(seconds) * time.Second
	}
	return e
}

// kindOf is the kind of an HTTP status that no broker explained.
func kindOf(status int) Kind {
	switch status {
	case http.StatusUnauthorized:
		return Unauthenticated
	case http.StatusForbidden:
		return Denied
	case http.StatusNotFound:
		return NotFound
	case http.StatusConflict:
		return Conflict
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Overloaded
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return Upstream
	}
	if status >= http.StatusBadRequest && status < http.StatusInternalServerError {
		return Invalid
	}
	return Internal
}

// Explain makes an *Error of what a request to a broker failed with, unless it is one
// or says that its context was done. Without a connection nothing was sent; once
// there was one, acted says what to assume.
func Explain(err error, acted Kind) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return &Error{Kind: Unreachable, Message: fmt.Sprintf("no broker answers at %s", op.Addr), Err: err}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return &Error{Kind: Unreachable, Message: "there is no host " + dns.Name, Err: err}
	}
	message := "the connection ended before the answer came"
	if acted == OutcomeUnknown {
		message += ": the call may have been made; look in the history before calling again"
	}
	return &Error{Kind: acted, Message: message, Err: err}
}

// NoToken is the error of a request for which a TokenFunc had no token.
func NoToken(err error) error {
	if _, ok := errors.AsType[*Error](err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	return &Error{Kind: Unauthenticated, Message: "there is no token to send: " + err.Error(), Err: err}
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
