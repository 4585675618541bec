package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// progressEvery is how often a waiting caller hears that the call is still held.
const progressEvery = 5 * time.Second

// Await waits for the outcome of a held call, as long as Call would: by the same
// principal through the same agents only. An outcome can be asked for again; it is
// given from the log, never by running the tool once more.
func (b *Broker) Await(ctx context.Context, id *agents.Identity, callID string, waiting func(Pending)) (*Reply, error) {
	if err := b.admit(ctx, "await "+clip(callID, 64), id); err != nil {
		return nil, err
	}
	if err := b.barredFrom("await "+clip(callID, 64), id); err != nil {
		return nil, err
	}
	h := b.tracked(callID)
	foreign := h != nil && h.caller != id.Key()
	if foreign {
		b.Reject(ctx, agents.Foreign(id))
	}
	if h == nil || foreign {
		return nil, &Error{
			Kind: NotFound, Op: "await " + clip(callID, 64),
			Public: "no call of yours that can be awaited has this id: only those that were answered as pending can, for a day after they end",
		}
	}
	return b.await(ctx, h, &Request{Waiting: waiting})
}

// await gives the outcome of h to the request r, or a pending reply once HoldWait is over.
func (b *Broker) await(ctx context.Context, h *hold, r *Request) (*Reply, error) {
	defer h.attach(r)()
	wait := b.cfg.HoldWait
	if r.NoWait {
		wait = 0
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		c, changed := h.snapshot()
		if !c.Open() {
			reply, err := b.outcome(ctx, c)
			if ctx.Err() == nil && (err == nil || AsError(err).Kind != Internal) { // it reaches somebody
				b.holds.take(h)
			}
			return reply, err
		}
		p := pending(c)
		if r.Waiting != nil {
			r.Waiting(p)
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-limit.C:
			return &Reply{CallID: c.ID, Pending: &p}, nil
		case <-ctx.Done():
			return &Reply{CallID: c.ID, Pending: &p}, nil
		case <-b.flights.stopping:
			return &Reply{CallID: c.ID, Pending: &p}, nil
		}
	}
}

func pending(c calls.Call) Pending {
	return Pending{
		CallID: c.ID, Tool: c.Intent.Tool, Released: c.State == calls.Released || c.State == calls.Running, Approvers: c.Approvers(),
		Votes: len(c.Votes), Expires: c.Deadline(), Reasons: c.Intent.Decision.Reasons, Waited: time.Since(c.Opening.Time),
	}
}

// outcome says how a held call ended.
func (b *Broker) outcome(ctx context.Context, c calls.Call) (*Reply, error) {
	op := "call " + c.Intent.Tool
	fail := func(k Kind, format string, args ...any) (*Reply, error) {
		return nil, &Error{Kind: k, Op: op, CallID: c.ID, Decision: c.Outcome.Decision, Public: fmt.Sprintf(format, args...)}
	}
	switch c.Closing.Type {
	case audit.CallResult, audit.CallFailed:
		if c.Outcome.Output == nil {
			return fail(Upstream, "%s", c.Outcome.Reason)
		}
		answer, err := b.answer(ctx, c)
		if rpc, ok := errors.AsType[*tools.RPCError](err); ok {
			return nil, &Error{Kind: Upstream, Op: op, CallID: c.ID, Err: rpc, Public: refusedText(rpc)}
		}
		if errors.Is(err, audit.ErrErased) {
			return fail(NotFound, "the call was run, but its output has been erased since")
		}
		if err != nil {
			return nil, &Error{Kind: Internal, Op: op, CallID: c.ID, Public: "the call was run, but its output cannot be read now; ask again with deed__await", Err: err}
		}
		return &Reply{CallID: c.ID, Answer: answer, Edited: b.whatRan(ctx, c)}, nil
	case audit.CallDenied:
		if c.Outcome.By == nil { // no honest broker leaves this out
			return fail(Denied, "denied: %s", c.Outcome.Reason)
		}
		return fail(Denied, "denied by %s: %s", c.Outcome.By.Principal, c.Outcome.Reason)
	case audit.CallExpired:
		return fail(Lapsed, "nobody decided before %s; it was not executed. Call again to ask once more", c.Deadline().Format(time.RFC3339))
	case audit.CallCancelled:
		return fail(Lapsed, "cancelled, not executed: %s", c.Outcome.Reason)
	default: // unknown
		kind, text := afterUnknown(c)
		return fail(kind, "%s", text)
	}
}

const unknownText = "the tool may have acted, but its outcome is not known; do not call again before a person has looked and recorded what happened"

// afterUnknown is what is known of a call that was closed as unknown: nothing, until a person has looked.
func afterUnknown(c calls.Call) (Kind, string) {
	switch {
	case c.Reconciled == nil:
		return OutcomeUnknown, unknownText
	case c.Reconciled.Happened:
		return OutcomeUnknown, "a person has looked: the tool did act, its answer is lost; do not call again"
	default:
		return Lapsed, "a person has looked: the tool did not act; calling again is safe"
	}
}

// answer is what the tool said, as the log has it. If the upstream refused the call
// the error is its *tools.RPCError.
func (b *Broker) answer(ctx context.Context, c calls.Call) (tools.Answer, error) {
	p, err := b.cfg.Payloads.Payload(ctx, c.Closing.At, audit.PayloadOutput)
	if err != nil {
		return tools.Answer{}, fmt.Errorf("read output: %w", err)
	}
	if !c.Outcome.Output.Matches(p) {
		return tools.Answer{}, fmt.Errorf("read output: %w: it is not what %s commits to", audit.ErrCorrupt, c.Closing.At)
	}
	if exact := b.answers.of(c.ID); c.Outcome.Redacted != nil && exact != nil {
		p.Body = exact // who asks later, or elsewhere, is told what is on record
	}
	if c.Outcome.Code != audit.CodeUpstreamError {
		return tools.Answer{Raw: p.Body, IsError: c.Closing.Type == audit.CallFailed}, nil
	}
	var refused refusedCall
	if err := json.Unmarshal(p.Body, &refused); err != nil {
		return tools.Answer{}, fmt.Errorf("read output: %w", err)
	}
	return tools.Answer{}, &tools.RPCError{Code: refused.Error.Code, Message: refused.Error.Message, Data: refused.Error.Data}
}
