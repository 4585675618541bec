package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/tools"
)

// running is a call that may run now: its intent is durable and, if it was held,
// its release is the first in the log.
type running struct {
	id     string
	domain string
	intent *audit.Intent
	trace  string
}

// execute runs the tool once and records what came of it. The tool runs to its end
// even if ctx is done: its caller may have gone, the record is still owed.
func (b *Broker) execute(ctx context.Context, r running, t *tools.Tool, args json.RawMessage, notify func(string, json.RawMessage)) (tools.Answer, *Error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(b.live, cancel)()

	run, span := b.cfg.Tracer.Start(run, "execute "+r.intent.Tool)
	start := time.Now()
	answer, err := t.Call(run, tools.Call{ID: r.id, Arguments: args, TraceParent: r.trace, Notify: notify})
	took := time.Since(start)
	span.End()

	typ, out, fail := judge(r, answer, err)
	out.Millis = float64(took.Microseconds()) / 1000
	var payloads []audit.Payload
	if err == nil {
		p := audit.NewPayload(audit.PayloadOutput, answer.Raw)
		commitment := p.Commitment()
		out.Output, payloads = &commitment, []audit.Payload{p}
	}
	if _, err := b.write(run, typ, b.callOf(r.id, r.domain, r.intent, r.trace), out, payloads...); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "outcome not recorded", slog.String("call_id", r.id), slog.Any("error", err))
		return tools.Answer{}, &Error{Kind: OutcomeUnknown, Op: "call " + r.intent.Tool, CallID: r.id, Err: err,
			Public: "the tool ran, but its outcome could not be recorded; do not call again before a person has looked"}
	}
	return answer, fail
}

// judge says what a tool's answer or error means for the record and for the caller.
func judge(r running, answer tools.Answer, err error) (audit.Type, audit.Outcome, *Error) {
	fail := &Error{Op: "call " + r.intent.Tool, CallID: r.id, Err: err}
	if err == nil {
		if answer.IsError {
			return audit.CallFailed, audit.Outcome{Code: audit.CodeToolError}, nil
		}
		return audit.CallResult, audit.Outcome{Code: audit.CodeOK}, nil
	}
	if rpc, ok := errors.AsType[*tools.RPCError](err); ok {
		fail.Kind, fail.Public = Upstream, fmt.Sprintf("the upstream refused the call: %s", clip(rpc.Message, maxReason))
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUpstreamError, Reason: fail.Public}, fail
	}
	switch {
	case errors.Is(err, tools.ErrChanged):
		fail.Kind, fail.Public = Lapsed, "the tool changed just now, and nothing was done; list the tools again"
		return audit.CallCancelled, audit.Outcome{Code: audit.CodeChanged, Reason: fail.Public}, fail
	case errors.Is(err, tools.ErrNotSent):
		fail.Kind, fail.Public = Upstream, "the upstream could not be reached, and nothing was done; calling again is safe"
		fail.Retry = 5 * time.Second
		return audit.CallFailed, audit.Outcome{Code: audit.CodeUpstreamError, Reason: fail.Public}, fail
	case errors.Is(err, context.DeadlineExceeded):
		fail.Kind, fail.Public = OutcomeUnknown, "the tool did not answer in time; "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeTimeout, Reason: fail.Public}, fail
	default: // ErrUncertain
		fail.Kind, fail.Public = OutcomeUnknown, "the upstream went away while the tool ran; "+unknownText
		return audit.CallUnknown, audit.Outcome{Code: audit.CodeUpstream, Reason: fail.Public}, fail
	}
}
