package broker

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
)

// Vote records a person's answer to a held call. It returns the call as it stands
// once the vote is part of it and has been acted on; a vote cast again changes nothing, whatever became of
// the call meanwhile. It fails with
// Denied for agents and for people whom policy does not let decide, NotFound,
// Conflict when the call is decided or the digest is of other arguments, and
// LogUnavailable, after which casting it again is safe.
func (b *Broker) Vote(ctx context.Context, v Vote) (calls.Call, error) {
	op := "vote on " + clip(v.CallID, 64)
	h, c, d, err := b.ballot(ctx, op, v)
	if err != nil {
		return calls.Call{}, err
	}
	who := recorded(v.Identity)
	if v.castBefore(c, who) {
		return c, nil
	}
	if err := votable(op, c, v); err != nil {
		return c, err
	}
	shown, err := b.shown(ctx, op, h, c, v.Shown)
	if err != nil {
		return c, err
	}
	typ, data := v.event(who, d, shown)
	id, err := b.writeAbout(ctx, c, typ, data)
	if err != nil {
		return c, &Error{
			Kind: LogUnavailable, Op: op, CallID: c.ID, Err: err, Retry: 5 * time.Second,
			Public: "the vote could not be recorded; cast it again",
		}
	}
	c = b.counted(ctx, h, func(c calls.Call) bool { return v.castBefore(c, who) })
	if c.State != calls.Held && c.Closing.ID != id && !v.castBefore(c, who) { // something else came first in the log
		if err := votable(op, c, v); err != nil {
			return c, err
		}
	}
	return b.weighed(ctx, h), nil
}

// ballot is the held call that a person decides on, and the decision that lets them.
func (b *Broker) ballot(ctx context.Context, op string, v Vote) (*hold, calls.Call, audit.Decision, error) {
	if err := known(op, v.Identity); err != nil {
		return nil, calls.Call{}, audit.Decision{}, err
	}
	h := b.holds.get(v.CallID)
	if h == nil {
		return nil, calls.Call{}, audit.Decision{}, &Error{Kind: NotFound, Op: op, Public: "no held call has this id"}
	}
	c, _ := h.snapshot()
	d := b.mayVote(v.Identity, c)
	if d.Effect != audit.Allow {
		return nil, calls.Call{}, d, b.refuseVote(ctx, c, v, d)
	}
	return h, c, d, nil
}

// castBefore reports whether this very vote is part of the call already.
func (v Vote) castBefore(c calls.Call, who audit.Identity) bool {
	if v.Digest != c.Digest() {
		return false
	}
	switch v.Verdict {
	case audit.Approve:
		_, voted := c.VoteOf(who.Issuer, who.Principal)
		return voted
	case audit.Reject:
		by := c.Outcome.By
		return c.Closing.Type == audit.CallDenied && by != nil && by.Issuer == who.Issuer && by.Principal == who.Principal
	default:
		return false
	}
}

// event is what is recorded of a permitted vote.
func (v Vote) event(who audit.Identity, d audit.Decision, shown *audit.Shown) (audit.Type, any) {
	reason := clip(v.Reason, maxReason)
	if v.Verdict == audit.Reject {
		return audit.CallDenied, audit.Outcome{Code: audit.CodeApprover, Reason: reason, By: &who, Shown: shown, Decision: &d}
	}
	return audit.CallApproval, audit.Approval{Digest: v.Digest, By: who, Reason: reason, Shown: shown, Decision: d}
}

// votable says why a permitted vote cannot count any more, or not as it is.
func votable(op string, c calls.Call, v Vote) error {
	conflict := func(format string, args ...any) error {
		return &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: fmt.Sprintf(format, args...)}
	}
	switch {
	case v.Verdict != audit.Approve && v.Verdict != audit.Reject:
		return &Error{Kind: Invalid, Op: op, CallID: c.ID, Public: "verdict must be approve or deny"}
	case v.Verdict == audit.Reject && strings.TrimSpace(v.Reason) == "":
		return &Error{Kind: Invalid, Op: op, CallID: c.ID, Public: "a denial needs a reason: it is what the agent can act on"}
	case v.Digest != c.Digest():
		return conflict("the digest is not that of this call: look at the call again before deciding")
	case c.State == calls.Closed:
		return conflict("already closed: %s", ending(c))
	case c.State == calls.Released:
		return conflict("already approved by %s %s ago, and running", voters(c), time.Since(c.Releasing.Time).Round(time.Second))
	case time.Now().After(c.Deadline()):
		return conflict("nobody decided in time: it expired %s ago", time.Since(c.Deadline()).Round(time.Second))
	}
	return nil
}

// ending says in words how and when a call was closed.
func ending(c calls.Call) string {
	ago := time.Since(c.Closing.Time).Round(time.Second)
	switch how := c.Closing.Type.Word(); {
	case c.Outcome.By != nil:
		return fmt.Sprintf("denied by %s %s ago", c.Outcome.By.Principal, ago)
	case len(c.Votes) > 0:
		return fmt.Sprintf("approved by %s, and ended as %s %s ago", voters(c), how, ago)
	default:
		return fmt.Sprintf("%s %s ago", cmp.Or(c.Outcome.Code, how), ago)
	}
}

func voters(c calls.Call) string {
	names := make([]string, len(c.Votes))
	for i, v := range c.Votes {
		names[i] = v.By.Principal
	}
	return strings.Join(names, ", ")
}

// mayVote decides whether this identity may decide this call: a person, with one
// of the roles that the hold asks for, whom policy lets approve it.
func (b *Broker) mayVote(id *agents.Identity, c calls.Call) audit.Decision {
	refuse := func(why string) audit.Decision {
		return audit.Decision{
			Effect: audit.Deny, PolicySet: b.cfg.Policies.Set().Digest(),
			Reasons: []audit.Reason{{Policy: "people-decide", Effect: "forbid", Text: why}},
		}
	}
	if !id.Person() {
		return refuse("only people decide: a token with an agent in it cannot")
	}
	d := b.permits(id, policy.ActionApprove, resourceOf(c))
	if d.Effect != audit.Allow {
		if !policy.MayLift(c.Approvers(), id.Roles) { // however they log in
			d.StepUp = ""
		}
		return d
	}
	if approvers := c.Approvers(); !policy.MayLift(approvers, id.Roles) {
		return refuse("this hold waits for somebody with one of the roles " + strings.Join(approvers, ", "))
	}
	return d
}

// refuseVote records that somebody tried to decide who may not.
func (b *Broker) refuseVote(ctx context.Context, c calls.Call, v Vote, d audit.Decision) error {
	op := "vote on " + c.ID
	fail := &Error{Kind: Denied, Op: op, CallID: c.ID, Public: denialText(d), Decision: &d}
	if err := b.admit(ctx, op, v.Identity); err != nil {
		return err
	}
	data := audit.Approval{Digest: clip(v.Digest, 64), By: recorded(v.Identity), Decision: d}
	if err := b.write(ctx, audit.CallVoteRefused, b.aboutCall(c), data); err != nil {
		return unavailable(op, c.ID, err)
	}
	return fail
}

// writeAbout writes an event of a recorded call, and returns its id.
func (b *Broker) writeAbout(ctx context.Context, c calls.Call, t audit.Type, data any) (string, error) {
	e, err := b.event(t, b.aboutCall(c), data)
	if err != nil {
		return "", err
	}
	return e.ID, b.append(ctx, e)
}

// counted waits until what was just acknowledged is part of the call, or until the
// call is not held any more. After AckWait it gives the call as it is: what was
// recorded will count, if nothing stands before it in the log.
func (b *Broker) counted(ctx context.Context, h *hold, part func(calls.Call) bool) calls.Call {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		c, changed := h.snapshot()
		if part(c) || c.State != calls.Held {
			return c
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c
		}
	}
}

// Cancel withdraws a held call, for the caller who made it or the person behind it.
// It fails with NotFound for anybody else, and with Conflict when the call is
// decided, or is by the time that the cancellation comes to stand in the log.
func (b *Broker) Cancel(ctx context.Context, id *agents.Identity, callID, reason string) (calls.Call, error) {
	op := "cancel " + clip(callID, 64)
	if err := b.admit(ctx, op, id); err != nil {
		return calls.Call{}, err
	}
	if err := b.barredFrom(op, id); err != nil {
		return calls.Call{}, err
	}
	h := b.holds.get(callID)
	foreign := h != nil && !mayCancel(id, h)
	if foreign {
		b.Reject(ctx, agents.Foreign(id))
	}
	if h == nil || foreign {
		return calls.Call{}, &Error{Kind: NotFound, Op: op, Public: "no held call of yours has this id"}
	}
	c, _ := h.snapshot()
	decided := &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: "the call is not held any more"}
	if c.State != calls.Held {
		return c, decided
	}
	who := recorded(id)
	out := audit.Outcome{Code: audit.CodeClient, Reason: clip(reason, maxReason), By: &who}
	if _, err := b.writeAbout(ctx, c, audit.CallCancelled, out); err != nil {
		return c, &Error{Kind: LogUnavailable, Op: op, CallID: c.ID, Err: err, Retry: 5 * time.Second, Public: "the cancellation could not be recorded; try again"}
	}
	c = b.counted(ctx, h, func(calls.Call) bool { return false })
	if c.State != calls.Held && c.Closing.Type != audit.CallCancelled { // something else came first in the log
		return c, decided
	}
	return c, nil
}

// withdraw cancels a held call for the request that waits for it, and says what became of it.
func (b *Broker) withdraw(ctx context.Context, id *agents.Identity, callID string) (*Reply, error) {
	c, err := b.Cancel(context.WithoutCancel(ctx), id, callID, ErrCancelled.Error())
	if err != nil {
		return nil, err
	}
	return b.outcome(ctx, c)
}

func mayCancel(id *agents.Identity, h *hold) bool {
	c, _ := h.snapshot()
	who := c.Intent.Identity
	return h.caller == id.Key() || id.Person() && who.Issuer == id.Issuer && who.Principal == id.Principal
}
