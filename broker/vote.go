package broker

import (
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
// once the vote is part of it; a vote cast again changes nothing. It fails with
// Denied for agents and for people whom policy does not let decide, NotFound,
// Conflict when the call is decided or the digest is of other arguments, and
// LogUnavailable, after which casting it again is safe.
func (b *Broker) Vote(ctx context.Context, v Vote) (calls.Call, error) {
	op := "vote on " + clip(v.CallID, 64)
	h := b.holds.get(v.CallID)
	if h == nil {
		return calls.Call{}, &Error{Kind: NotFound, Op: op, Public: "no held call has this id"}
	}
	c, _ := h.snapshot()
	who := recorded(v.Identity)
	d := b.mayVote(v.Identity, c)
	if d.Effect != audit.Allow {
		return calls.Call{}, b.refuseVote(ctx, c, v, d)
	}
	if err := b.votable(op, c, who, v); err != nil {
		return c, err
	}
	if _, voted := c.VoteOf(who.Issuer, who.Principal); voted && v.Verdict == audit.Approve {
		return c, nil
	}
	where := b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace)
	var err error
	if v.Verdict == audit.Reject {
		_, err = b.write(ctx, audit.CallDenied, where,
			audit.Outcome{Code: audit.CodeApprover, Reason: clip(v.Reason, maxReason), By: &who, Decision: &d})
	} else {
		_, err = b.write(ctx, audit.CallApproval, where,
			audit.Approval{Digest: v.Digest, By: who, Reason: clip(v.Reason, maxReason), Decision: d})
	}
	if err != nil {
		return c, &Error{Kind: LogUnavailable, Op: op, CallID: c.ID, Err: err, Retry: 5 * time.Second,
			Public: "the vote could not be recorded; cast it again"}
	}
	return b.counted(ctx, h, who)
}

// votable says why a permitted vote cannot count any more, or not as it is.
func (b *Broker) votable(op string, c calls.Call, who audit.Identity, v Vote) error {
	conflict := func(format string, args ...any) error {
		return &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: fmt.Sprintf(format, args...)}
	}
	_, voted := c.VoteOf(who.Issuer, who.Principal)
	switch {
	case v.Verdict != audit.Approve && v.Verdict != audit.Reject:
		return &Error{Kind: Invalid, Op: op, Public: "verdict must be approve or deny"}
	case v.Verdict == audit.Reject && v.Reason == "":
		return &Error{Kind: Invalid, Op: op, Public: "a denial needs a reason: it is what the agent can act on"}
	case v.Digest != c.Intent.Digest:
		return conflict("the digest is not that of this call: look at the call again before deciding")
	case c.State == calls.Closed:
		return conflict("already closed: %s", ending(c))
	case c.State == calls.Released && !voted:
		return conflict("already approved by %s %s ago", voters(c), time.Since(c.Releasing.Time).Round(time.Second))
	case c.State == calls.Released && v.Verdict == audit.Reject:
		return conflict("already approved by %s, and running", voters(c))
	}
	return nil
}

// ending says in words how and when a call was closed.
func ending(c calls.Call) string {
	ago := time.Since(c.Closing.Time).Round(time.Second)
	if c.Outcome.By != nil {
		return fmt.Sprintf("denied by %s %s ago", c.Outcome.By.Principal, ago)
	}
	return fmt.Sprintf("%s %s ago", c.Outcome.Code, ago)
}

func voters(c calls.Call) string {
	s := ""
	for i, v := range c.Votes {
		if i > 0 {
			s += ", "
		}
		s += v.By.Principal
	}
	return s
}

// mayVote decides whether this identity may decide this call: a person, with one
// of the roles that the hold asks for, whom policy lets approve it.
func (b *Broker) mayVote(id *agents.Identity, c calls.Call) audit.Decision {
	refuse := func(why string) audit.Decision {
		return audit.Decision{Effect: audit.Deny, PolicySet: b.cfg.Policies.Set().Digest(),
			Reasons: []audit.Reason{{Policy: "people-decide", Effect: "forbid", Text: why}}}
	}
	if !id.Person() {
		return refuse("only people decide: a token with an agent in it cannot")
	}
	d := b.permits(id, policy.ActionApprove, resourceOf(c))
	if d.Effect != audit.Allow {
		return d
	}
	if !policy.MayLift(c.Intent.Decision, id.Roles) {
		return refuse("this hold waits for somebody with one of the roles " + strings.Join(c.Intent.Decision.Approvers, ", "))
	}
	return d
}

// refuseVote records that somebody tried to decide who may not.
func (b *Broker) refuseVote(ctx context.Context, c calls.Call, v Vote, d audit.Decision) error {
	op := "vote on " + c.ID
	fail := &Error{Kind: Denied, Op: op, CallID: c.ID, Public: denialText(d), Decision: &d}
	if err := b.limits.allow(v.Identity); err != nil {
		return err
	}
	data := audit.Approval{Digest: clip(v.Digest, 64), By: recorded(v.Identity), Decision: d}
	if _, err := b.write(ctx, audit.CallVoteRefused, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace), data); err != nil {
		return unavailable(op, c.ID, err)
	}
	return fail
}

// counted waits until the vote that was just acknowledged is folded into the call.
func (b *Broker) counted(ctx context.Context, h *hold, who audit.Identity) (calls.Call, error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		c, changed := h.snapshot()
		if _, ok := c.VoteOf(who.Issuer, who.Principal); ok || c.State != calls.Held {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c, nil // it is recorded, and will count
		}
	}
}

// Cancel withdraws a held call, for the caller who made it or the person behind it.
func (b *Broker) Cancel(ctx context.Context, id *agents.Identity, callID, reason string) (calls.Call, error) {
	op := "cancel " + clip(callID, 64)
	h := b.holds.get(callID)
	if h == nil {
		return calls.Call{}, &Error{Kind: NotFound, Op: op, Public: "no held call of yours has this id"}
	}
	c, _ := h.snapshot()
	who := recorded(id)
	owner := id.Person() && c.Intent.Identity.Issuer == id.Issuer && c.Intent.Identity.Principal == id.Principal
	if !owner && callerOf(c.Intent.Identity) != callerOf(who) {
		return calls.Call{}, &Error{Kind: NotFound, Op: op, Public: "no held call of yours has this id"}
	}
	if c.State != calls.Held {
		return c, &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: "the call is not held any more"}
	}
	out := audit.Outcome{Code: audit.CodeClient, Reason: clip(reason, maxReason), By: &who}
	if _, err := b.write(ctx, audit.CallCancelled, b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace), out); err != nil {
		return c, &Error{Kind: LogUnavailable, Op: op, CallID: c.ID, Err: err, Public: "the cancellation could not be recorded; try again"}
	}
	return b.counted(ctx, h, who)
}
