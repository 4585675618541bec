package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
)

// running is a call that may run now: its intent is durable and, if it was held,
// its release is the first in the log.
type running struct {
	id     string
	domain string
	intent *audit.Intent
	trace  string
	args   []byte    // that it runs with, if they are at hand
	since  time.Time // when the upstream made a task of it, where that is followed after a restart
}

// execute runs the tool once and records what came of it. The tool runs to its end
// even if ctx is done, unless its caller has cancelled the call: the caller may have
// gone, the record is still owed.
func (b *Broker) execute(ctx context.Context, r running, t *tools.Tool, c tools.Call) (*Reply, *Error) {
	r.args = c.Arguments
	return b.run(ctx, r, t, func(ctx context.Context, told tools.Call) (tools.Answer, error) {
		c.Used, c.Began = told.Used, told.Began
		return t.Call(ctx, c)
	})
}

// run has a call's tool act, or waits for what it does already, and records what came of it. The
// members of the call that act is given are those by which the broker is told of its progress.
func (b *Broker) run(ctx context.Context, r running, t *tools.Tool, act func(context.Context, tools.Call) (tools.Answer, error)) (*Reply, *Error) {
	var kept atomic.Bool // it is a task that can be followed after a restart
	kept.Store(!r.since.IsZero())
	run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	defer context.AfterFunc(b.live, func() { cancel(b.outlived(&kept)) })() //nolint:contextcheck // the end of the broker ends it, not that of the request
	defer context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); ends(cause) {
			cancel(cause)
		}
	})()

	defer b.executions.start(r, cancel)()
	switch e, stop := b.revoked(r.intent.Identity); { // looked at once more, now that a revocation would find it here
	case stop && r.since.IsZero():
		return nil, b.notRun(run, r, e)
	case stop:
		cancel(errRevoked)
	}
	run, span := b.cfg.Tracer.Start(run, "execute", trace.WithAttributes(attribute.String("deed.tool", r.intent.Tool)))
	start := time.Now()
	if !r.since.IsZero() {
		start = r.since
	}
	var shown atomic.Pointer[credentials.Reference] // an upstream that is given up may still be asking for one
	answer, err := act(run, tools.Call{
		Used:  func(r credentials.Reference) { shown.Store(&r) },
		Began: func(task json.RawMessage) { b.keepTask(run, r.id, task, &kept) },
	})
	took := time.Since(start)
	span.End()
	if err != nil && leftAlone(run, err) {
		return goesOn(r, start), nil
	}
	if err != nil && errors.Is(context.Cause(run), errRevoked) {
		err = fmt.Errorf("%w: %w", err, errRevoked)
	}

	typ, out, fail := b.judge(r, t, answer, err)
	out.Credential = credentialOf(shown.Load())
	out.Millis = float64(took.Microseconds()) / 1000
	if typ == audit.CallUnknown { // from now on, not only once it is read back
		b.bar(calls.Call{
			ID: r.id, Domain: r.domain, State: calls.Closed, Intent: *r.intent, Closing: calls.Mark{Type: typ, Source: b.source},
		}, r.args)
	}
	spooled, unrecorded := b.recordOutcome(run, r, typ, out, output(answer, err))
	if kept.Load() && unrecorded == nil {
		b.forgetTask(run, r.id)
	}
	switch {
	case unrecorded != nil:
		return nil, unrecorded
	case fail != nil && spooled:
		fail.Public += " (" + spooledText + ")"
		return nil, fail
	case fail != nil:
		return nil, fail
	}
	if e, stop := b.revoked(r.intent.Identity); stop { // it is on record, and for nobody
		return nil, &Error{Kind: Denied, Op: "call " + r.intent.Tool, CallID: r.id, Public: "denied: " + revokedText(e) + "; the tool had run by then, its answer is withheld"}
	}
	return &Reply{CallID: r.id, Answer: answer, Spooled: spooled}, nil
}

// spooledText says what an agent has to know of an outcome that only the spool has.
const spooledText = "the log is away: the record of this is kept by the broker, and written once the log is back"

// recordOutcome writes what came of a call, or spools it where the log is away. An
// answer that is in neither is not given.
func (b *Broker) recordOutcome(ctx context.Context, r running, typ audit.Type, out audit.Outcome, said []byte) (spooled bool, _ *Error) {
	where := b.callOf(r.id, r.domain, r.intent, r.trace)
	fail := &Error{
		Kind: OutcomeUnknown, Op: "call " + r.intent.Tool, CallID: r.id,
		Public: "the tool ran, but its outcome could not be recorded; do not call again before a person has looked",
	}
	var payloads []audit.Payload
	if said != nil {
		p, err := b.recordAnswer(r, said, &out)
		if err != nil {
			fail.Err = err
			b.owe(typ, where, out)
			return false, fail
		}
		payloads = []audit.Payload{p}
	}
	e, err := b.event(typ, where, out, payloads...)
	if err == nil {
		e.Quiet = typ != audit.CallUnknown && b.tracked(r.id) == nil
		err = b.append(ctx, e)
	}
	if err == nil {
		return false, nil
	}
	b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "outcome not recorded", slog.String("call_id", r.id), slog.Any("error", err))
	fail.Err = err
	if errors.Is(err, audit.ErrTooLarge) { // then the record says that much
		fail.Kind, fail.Public = Upstream, "the tool ran, but its answer is too large to be recorded and therefore not given; ask it for less"
		out.Output, out.Redacted, out.Reason, payloads = nil, nil, fail.Public, nil
		if err = b.write(ctx, typ, where, out); err == nil {
			return false, fail
		}
	} else if b.keepOutcome(ctx, e, err) {
		return true, nil
	}
	b.owe(typ, where, out, payloads...)
	return false, fail
}

// refusedCall is how an upstream's JSON-RPC error is recorded: apart from the event,
// since it may quote the arguments.
type refusedCall struct {
	Error struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data,omitempty"`
	} `json:"error"`
}

// output is what the upstream said, to be recorded; nil if it said nothing.
func output(answer tools.Answer, err error) []byte {
	if err == nil {
		return answer.Raw
	}
	if mismatch, ok := errors.AsType[*tools.MismatchError](err); ok {
		return mismatch.Answer.Raw
	}
	rpc, ok := errors.AsType[*tools.RPCError](err)
	if !ok {
		return nil
	}
	var refused refusedCall
	refused.Error.Code, refused.Error.Message, refused.Error.Data = rpc.Code, rpc.Message, rpc.Data
	said, err := json.Marshal(refused)
	if err != nil { // its data is no JSON
		refused.Error.Data = nil
		said, _ = json.Marshal(refused) // a number and a string always marshal
	}
	return said
}

func refusedText(rpc *tools.RPCError) string {
	return "the upstream refused the call: " + clip(rpc.Message, maxReason)
}

// judge says what a tool's answer or error means for the record and for the caller.
func (b *Broker) judge(r running, t *tools.Tool, answer tools.Answer, err error) (audit.Type, audit.Outcome, *Error) {
	fail := &Error{Op: "call " + r.intent.Tool, CallID: r.id, Err: err}
	if err == nil {
		if answer.IsError {
			return audit.CallFailed, audit.Outcome{Code: audit.CodeToolError}, nil
		}
		return audit.CallResult, audit.Outcome{Code: audit.CodeOK}, nil
	}
	if rpc, ok := errors.AsType[*tools.RPCError](err); ok {
		fail.Kind, fail.Public = Upstream, refusedText(rpc)
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUpstreamError, Reason: fmt.Sprintf("the upstream refused the call, with code %d", rpc.Code)}, fail
	}
	if mismatch, ok := errors.AsType[*tools.MismatchError](err); ok {
		fail.Kind, fail.Public = Upstream, "the tool ran, but "+mismatch.Error()+"; its answer is withheld, and calling again may do it twice"
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUpstreamError, Reason: "the tool ran, but its answer does not fit the output schema that it declares"}, fail
	}
	switch {
	case errors.Is(err, errRevoked):
		return judgeRevoked(fail, err)
	case isUncredentialed(err):
		return judgeUncredentialed(fail, err)
	case errors.Is(err, tools.ErrUnanswered):
		fail.Kind, fail.Public = Upstream, "the tool asked for something that it was not told, and did not finish"
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUnanswered, Reason: fail.Public}, fail
	case ends(err) && (errors.Is(err, tools.ErrNotSent) || readsOnly(t)):
		fail.Kind, fail.Public = Lapsed, "cancelled by its caller"
		return audit.CallCancelled, audit.Outcome{Code: audit.CodeClient, Reason: fail.Public}, fail
	case ends(err):
		fail.Kind, fail.Public = OutcomeUnknown, "cancelled by its caller while the tool ran; "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeClient, Reason: fail.Public}, fail
	case errors.Is(err, tools.ErrChanged):
		fail.Kind, fail.Public = Lapsed, "the tool changed just now, and nothing was done; list the tools again"
		return audit.CallCancelled, audit.Outcome{Code: audit.CodeChanged, Reason: fail.Public}, fail
	case errors.Is(err, tools.ErrNotSent) && b.live.Err() != nil:
		fail.Kind, fail.Public = Overloaded, "the broker is stopping, and nothing was done; call again"
		fail.Retry = 5 * time.Second
		return audit.CallCancelled, audit.Outcome{Code: audit.CodeShutdown, Reason: fail.Public}, fail
	case errors.Is(err, tools.ErrBusy):
		fail.Kind, fail.Public, fail.Retry = Overloaded, "too many calls of this upstream run at once, and nothing was done; call again more slowly", 5*time.Second
		return audit.CallFailed, audit.Outcome{Code: audit.CodeOverloaded, Reason: fail.Public}, fail
	case isTripped(err, fail):
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUpstreamError, Reason: fail.Public}, fail
	case errors.Is(err, tools.ErrNotSent):
		fail.Kind, fail.Public = Upstream, "the upstream could not be reached, and nothing was done; calling again is safe"
		fail.Retry = 5 * time.Second
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUpstreamError, Reason: fail.Public}, fail
	case errors.Is(err, context.DeadlineExceeded):
		fail.Kind, fail.Public = OutcomeUnknown, "the tool did not answer in time; "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeTimeout, Reason: fail.Public}, fail
	case errors.Is(err, tools.ErrTooLarge):
		fail.Kind, fail.Public = OutcomeUnknown, "the tool answered more than the broker takes from it (answer, in the upstream's configuration); "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeUpstream, Reason: fail.Public}, fail
	case b.live.Err() != nil:
		fail.Kind, fail.Public = OutcomeUnknown, "the broker was stopped while the tool ran; "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeCrash, Reason: fail.Public}, fail
	default: // ErrUncertain
		fail.Kind, fail.Public = OutcomeUnknown, "the upstream went away while the tool ran; "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeUpstream, Reason: fail.Public}, fail
	}
}

// isTripped says of an upstream that keeps failing that it was spared the call.
func isTripped(err error, fail *Error) bool {
	tripped, ok := errors.AsType[*tools.TrippedError](err)
	if ok {
		fail.Kind, fail.Retry = Upstream, tripped.Retry
		fail.Public = "the upstream has failed several times in a row and is left alone for a moment; nothing was done, and calling again later is safe"
	}
	return ok
}

// readsOnly reports whether a tool says that it changes nothing: there is then
// nothing to find out about a run that was broken off.
func readsOnly(t *tools.Tool) bool {
	return t != nil && t.Annotations.ReadOnly != nil && *t.Annotations.ReadOnly
}
