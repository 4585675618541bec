package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/broker"
)

// Problem is an error as clients get it (RFC 9457). The type is always about:blank:
// what programs branch on is the kind.
type Problem struct {
	Type       string         `json:"type"`
	Title      string         `json:"title"`
	Status     int            `json:"status"`
	Detail     string         `json:"detail,omitempty"`
	Kind       string         `json:"kind"`                 // of [broker.Kind], or unauthenticated
	CallID     string         `json:"call_id,omitempty"`    // the call that it is about
	Reasons    []audit.Reason `json:"reasons,omitempty"`    // the policies that determined it
	RetryAfter int            `json:"retry_after,omitzero"` // seconds after which trying again may help
	StepUp     string         `json:"step_up,omitempty"`    // how a person would have to log in (acr) to be let
}

const kindUnauthenticated = "unauthenticated"

// WriteProblem answers a request with p. Type and title are filled in.
func WriteProblem(w http.ResponseWriter, p Problem) {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.StepUp != "" { // RFC 9470 section 3
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication", error_description="a stronger login is needed for this", acr_values="`+p.StepUp+`"`)
	}
	write(w, p.Status, "application/problem+json", p)
}

// statusOf is the one place where kinds of error become HTTP statuses.
func statusOf(k broker.Kind) int {
	switch k {
	case broker.Invalid:
		return http.StatusBadRequest
	case broker.Denied:
		return http.StatusForbidden
	case broker.NotFound:
		return http.StatusNotFound
	case broker.Lapsed, broker.Conflict:
		return http.StatusConflict
	case broker.Overloaded:
		return http.StatusTooManyRequests
	case broker.LogUnavailable:
		return http.StatusServiceUnavailable
	case broker.Upstream:
		return http.StatusBadGateway
	case broker.OutcomeUnknown, broker.Internal:
		return http.StatusInternalServerError
	default:
		return http.StatusInternalServerError
	}
}

// ProblemOf is err for a client: nothing of it but what is public.
func ProblemOf(err error) Problem {
	if p, ok := errors.AsType[*refusal](err); ok {
		return Problem(*p)
	}
	e := asError(err)
	p := Problem{Status: statusOf(e.Kind), Detail: e.Public, Kind: e.Kind.String(), CallID: e.CallID, RetryAfter: seconds(e.Retry)}
	if e.Decision != nil {
		p.Reasons = e.Decision.Reasons
		if p.StepUp = e.Decision.StepUp; p.StepUp != "" {
			p.Status = http.StatusUnauthorized
		}
	}
	return p
}

// asError sorts the errors of the log and the index among those of the broker.
func asError(err error) *broker.Error {
	if e, ok := errors.AsType[*broker.Error](err); ok {
		return e
	}
	wrap := func(k broker.Kind, public string) *broker.Error {
		return &broker.Error{Kind: k, Op: "serve", Public: public, Err: err}
	}
	switch {
	case errors.Is(err, index.ErrQuery):
		return wrap(broker.Invalid, "the query is not valid: a limit is out of bounds, or the cursor was given for another query")
	case errors.Is(err, audit.ErrNotFound):
		return wrap(broker.NotFound, "there is no such record")
	case errors.Is(err, audit.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		e := wrap(broker.LogUnavailable, "the log cannot be read now; try again")
		e.Retry = 5 * time.Second
		return e
	default:
		return broker.AsError(err)
	}
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// refusal is a problem with a status that no kind has.
type refusal Problem

// Error is the detail.
func (r *refusal) Error() string { return r.Detail }

func invalid(format string, args ...any) error {
	return &broker.Error{Kind: broker.Invalid, Op: "read request", Public: fmt.Sprintf(format, args...)}
}

func notFound(public string) error {
	return &broker.Error{Kind: broker.NotFound, Op: "find", Public: public}
}

// errWithheld is behind what is there, and is not the viewer's to see. They are told what
// they would be told if it were not there; it is counted.
var errWithheld = errors.New("it is not for this viewer")

func withheld(public string) error {
	return &broker.Error{Kind: broker.NotFound, Op: "find", Public: public, Err: errWithheld}
}
