package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// Exit codes that scripts can rely on.
const (
	exitOK       = 0
	exitFailed   = 1 // not found, already decided, upstream trouble, findings, a defect
	exitUsage    = 2 // a malformed command, configuration or query
	exitRefused  = 3 // by policy, a person, or for want of a valid token
	exitTampered = 4 // the log is not what was written or signed
	exitBusy     = 5 // try again later: nothing was done
	exitUnknown  = 6 // the tool may have acted: a person must look
)

// exit is an error with the code that it ends the process with.
type exit struct {
	code int
	err  error // nil if everything has been said already
	hint string
}

// Error is the cause.
func (e *exit) Error() string {
	if e.err == nil {
		return "see above"
	}
	return e.err.Error()
}

// Unwrap is the cause.
func (e *exit) Unwrap() error { return e.err }

// usage is an error in what the user typed.
func usage(format string, args ...any) error {
	return &exit{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// silent ends with a code after the output has said why.
func silent(code int) error { return &exit{code: code} }

// withHint says what would help.
func withHint(err error, hint string) error {
	return &exit{code: codeOf(err), err: err, hint: hint}
}

func codeOf(err error) int {
	if e, ok := errors.AsType[*exit](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return codeOfKind(e.Kind)
	}
	if g, ok := errors.AsType[*login.GrantError](err); ok && g.Status < 500 {
		return exitRefused
	}
	if _, ok := errors.AsType[*seal.InconsistentError](err); ok || errors.Is(err, audit.ErrCorrupt) {
		return exitTampered
	}
	if errors.Is(err, login.ErrNoSession) {
		return exitRefused
	}
	return exitFailed
}

// codeOfKind is the one place where kinds of error become exit codes.
func codeOfKind(k client.Kind) int {
	switch k {
	case client.Invalid:
		return exitUsage
	case client.Unauthenticated, client.Denied, client.Lapsed:
		return exitRefused
	case client.Overloaded, client.LogUnavailable, client.Unreachable:
		return exitBusy
	case client.OutcomeUnknown:
		return exitUnknown
	case client.NotFound, client.Conflict, client.Upstream, client.Internal:
		return exitFailed
	default:
		return exitFailed
	}
}

// report prints an error and what would help, and gives the exit code.
func (e *environment) report(err error) int {
	code := codeOf(err)
	if x, ok := errors.AsType[*exit](err); ok && x.err == nil {
		return code
	}
	if errors.Is(err, context.Canceled) {
		e.say("error: interrupted\n")
		return exitFailed
	}
	e.say("error: %s\n", multiline(err.Error()))
	if c, ok := errors.AsType[*client.Error](err); ok {
		for _, r := range c.Reasons {
			if !strings.Contains(c.Message, r.Policy) {
				e.say("  policy %s: %s\n", plain(r.Policy), plain(r.Text))
			}
		}
		if c.CallID != "" && !strings.Contains(c.Message, c.CallID) {
			e.say("  call %s\n", plain(c.CallID))
		}
	}
	if hint := hintOf(err); hint != "" {
		e.say("hint: %s\n", hint)
	}
	return code
}

// stepUpHint says how to log in for what asks for more than the login at hand.
func stepUpHint(acr string) string {
	return "sign in more strongly, with `deed login --acr " + plain(acr) + "`"
}

func hintOf(err error) string {
	if x, ok := errors.AsType[*exit](err); ok && x.hint != "" {
		return x.hint
	}
	c, ok := errors.AsType[*client.Error](err)
	if !ok {
		return ""
	}
	if c.StepUp != "" {
		return stepUpHint(c.StepUp)
	}
	switch c.Kind {
	case client.Unauthenticated:
		return "sign in with `deed login`, or give a token by --token or DEED_TOKEN; against a demo, --as alice"
	case client.Unreachable:
		return "start one with `deed demo` or `deed serve`, or say where it is by --url or DEED_URL"
	case client.OutcomeUnknown:
		return "do not call again; find out what happened, then `deed reconcile`"
	case client.Overloaded, client.LogUnavailable:
		if c.Retry > 0 {
			return fmt.Sprintf("nothing was done; try again in %s", c.Retry.Round(time.Second))
		}
		return "nothing was done; try again later"
	case client.Invalid, client.Denied, client.Lapsed, client.NotFound, client.Conflict, client.Upstream, client.Internal:
		return ""
	default:
		return ""
	}
}
