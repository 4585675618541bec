package broker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/broker/sentence"
	"github.com/deedbroker/deed/tools"
)

// HeldCall is a held call as a person sees it who may decide or read it.
type HeldCall struct {
	calls.Call
	Arguments json.RawMessage // exactly as they will run; nil if they have been erased
	Asked     json.RawMessage // as the caller made them, if they have been edited since
	Salt      []byte          // of Arguments on record
	Sentence  sentence.Sentence
	Shown     string // goes with a vote: the digest of what the viewer is shown; empty if there are no arguments to show
	// Justification is why the agent says that it makes the call: unverified, and empty if
	// it gave none or it has been erased.
	Justification string
	Annotations   tools.Annotations // of the tool, if its definition is still that of the intent
	Quorum        int               // the least number of approvals that lifts the hold, by the policies of now; 0 if that is not known
	MayVote       bool              // this viewer, now
	Reads         policy.Tier       // how much of it the viewer is shown: its arguments also to whoever may vote
	DryRun        bool              // this viewer can find out what it would change: see [Broker.Forecast]
	StepUp        string            // the login (acr) with which this viewer might; empty if it would not help
	WhyNot        string            // in words, if not
}

// Pending lists the held calls that the viewer may decide or read, the earliest deadline first.
func (b *Broker) Pending(ctx context.Context, viewer *agents.Identity) []HeldCall {
	var list []HeldCall
	may := b.glance(viewer)
	for _, h := range b.holds.list() {
		if v, ok := b.view(ctx, may.rights, h); ok {
			list = append(list, v)
		}
	}
	return list
}

// Waiting lists the same calls, without what has to be read for people to decide on them.
func (b *Broker) Waiting(viewer *agents.Identity) []calls.Call {
	var list []calls.Call
	may := b.glance(viewer)
	for _, h := range b.holds.list() {
		c, _ := h.snapshot()
		if !may.rights(c).none() {
			list = append(list, c)
		}
	}
	return list
}

// Undecided are the held calls that nobody has decided yet.
func (b *Broker) Undecided() []calls.Call {
	var list []calls.Call
	for _, h := range b.holds.list() {
		if c, _ := h.snapshot(); c.State == calls.Held {
			list = append(list, c)
		}
	}
	return list
}

// MayVote reports whether a person may decide on a call that is or was held, by the
// policies of now.
func (b *Broker) MayVote(person *agents.Identity, callID string) bool {
	h := b.holds.get(callID)
	if h == nil {
		return false
	}
	c, _ := h.snapshot()
	return b.mayVote(person, c).Effect == audit.Allow
}

// Held is one held call, open or ended lately; NotFound if there is none that the viewer may see.
func (b *Broker) Held(ctx context.Context, viewer *agents.Identity, callID string) (HeldCall, error) {
	if h := b.holds.get(callID); h != nil {
		if v, ok := b.view(ctx, func(c calls.Call) rights { return b.rights(viewer, c) }, h); ok {
			return v, nil
		}
	}
	return HeldCall{}, &Error{Kind: NotFound, Op: "show held call", Public: "no held call has this id"}
}

// view is a held call as it is shown to one who has these rights on it.
func (b *Broker) view(ctx context.Context, may func(calls.Call) rights, h *hold) (HeldCall, bool) {
	c, _ := h.snapshot()
	r := may(c)
	vote := r.vote
	v := HeldCall{Call: c, MayVote: vote.Effect == audit.Allow && c.State == calls.Held, Reads: r.reads}
	if c.State == calls.Held {
		v.StepUp = vote.StepUp
	}
	if !v.MayVote {
		if v.Reads == "" {
			return HeldCall{}, false
		}
		v.WhyNot = denialText(vote)
	} else if !v.Reads.Covers(policy.TierArguments) {
		v.Reads = policy.TierArguments // one decides on them
	}
	b.fill(ctx, &v, h)
	return v, true
}

// fill adds what the call was made with, if it is to be shown.
func (b *Broker) fill(ctx context.Context, v *HeldCall, h *hold) {
	c := v.Call
	if !v.Reads.Covers(policy.TierArguments) {
		v.Sentence = b.sentence(c, nil)
		b.illuminate(v, h)
		return
	}
	var err error
	if v.Arguments, err = b.seen(ctx, h, c); err == nil && len(c.Edits) > 0 {
		v.Asked, err = b.committed(ctx, c.Intent.Arguments, c.Opening.At)
	}
	v.Sentence = b.sentence(c, v.Arguments)
	if err == nil {
		if v.Salt, err = b.salt(ctx, h, c); err == nil {
			v.Shown = v.Sentence.Shown(c.Digest(), v.Salt).Digest
		}
	}
	b.illuminate(v, h)
	var unsaid error
	if v.Justification, unsaid = b.justification(ctx, h, c); unsaid != nil && !errors.Is(unsaid, audit.ErrErased) {
		err = errors.Join(err, unsaid)
	}
	switch {
	case err == nil:
	case !errors.Is(err, audit.ErrErased):
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "arguments of a held call cannot be read",
			slog.String("call_id", c.ID), slog.Any("error", err))
	}
}

// Subject is what reading is permitted on: whose call, by whom, of what. Without a
// tool it is the domain: its records that are about no call.
type Subject struct {
	Domain, Principal, Actor, Tool string
}

func (s Subject) resource() policy.Resource {
	if s.Tool == "" {
		return policy.OnDomain{Name: s.Domain}
	}
	r := policy.OnCall{ID: "any", Tool: s.Tool, Domain: s.Domain, Principal: s.Principal}
	if s.Actor != "" {
		r.Agents = []string{s.Actor}
	}
	return r
}

func resourceOf(c calls.Call) policy.OnCall {
	r := policy.OnCall{
		ID: c.ID, Tool: c.Intent.Tool, Domain: c.Domain,
		Principal: c.Intent.Identity.Principal, Roles: c.Intent.Identity.Roles, Approvers: c.Approvers(),
	}
	for _, a := range c.Intent.Identity.Chain {
		r.Agents = append(r.Agents, a.ID)
		if a.Registered {
			r.Known = append(r.Known, a.ID)
		}
	}
	return r
}

// SubjectOf is the subject of a call.
func SubjectOf(c calls.Call) Subject {
	s := Subject{Domain: c.Domain, Principal: c.Intent.Identity.Principal, Tool: c.Intent.Tool}
	if chain := c.Intent.Identity.Chain; len(chain) > 0 {
		s.Actor = chain[0].ID
	}
	return s
}

// MayRead reports whether the viewer may see the records of a subject, which have no
// arguments or results. Agents see none: they learn of their calls from the answers.
func (b *Broker) MayRead(viewer *agents.Identity, s Subject) bool {
	return b.permits(viewer, policy.ActionRead, s.resource()).Effect == audit.Allow
}

// Reads is the most that the viewer may read of a subject; empty for nothing.
func (b *Broker) Reads(viewer *agents.Identity, s Subject) policy.Tier {
	return b.reads(viewer, s.resource())
}

func (b *Broker) reads(viewer *agents.Identity, on policy.Resource) (most policy.Tier) {
	for _, t := range policy.Tiers() {
		if b.asks(viewer, policy.ActionRead, on, t).Effect != audit.Allow {
			break
		}
		most = t
	}
	return most
}

// permits asks whether policy lets a person do one of people's own actions. It
// denies whoever is not a person.
func (b *Broker) permits(viewer *agents.Identity, action string, on policy.Resource) audit.Decision {
	return b.asks(viewer, action, on, "")
}

// asks is permits for a tier of reading.
func (b *Broker) asks(viewer *agents.Identity, action string, on policy.Resource, tier policy.Tier) audit.Decision {
	set := b.cfg.Policies.Set()
	if !viewer.Person() {
		return audit.Decision{Effect: audit.Deny, PolicySet: set.Digest(), Reasons: []audit.Reason{
			{Policy: "people-only", Effect: "forbid", Text: "only people may do this: a token with an agent in it cannot"},
		}}
	}
	if e, stop := b.denied.list.Denies(viewer, time.Now()); stop {
		return audit.Decision{Effect: audit.Deny, PolicySet: set.Digest(), Reasons: []audit.Reason{{Policy: "revoked", Effect: "forbid", Text: revokedText(e)}}}
	}
	return set.Permits(policy.Ask{
		Person: policy.Link{Kind: policy.User, ID: viewer.Principal, Roles: viewer.Roles}, Action: action, On: on, Tier: tier,
		Scopes: viewer.Scopes, ACR: viewer.ACR, TokenExpires: viewer.Expires, Now: time.Now().UTC(),
	})
}

// Visible lists the tools that the caller could call with some arguments, by name.
func (b *Broker) Visible(_ context.Context, id *agents.Identity) []*tools.Tool {
	all := b.cfg.Catalogue.Tools()
	may := b.cfg.Policies.Set().Visible(policy.LinksOf(recorded(id)), id.Scopes)
	visible := make([]*tools.Tool, 0, len(may))
	for _, t := range all {
		if _, ok := slices.BinarySearch(may, t.Name()); ok && t.Finding == "" {
			visible = append(visible, t)
		}
	}
	return visible
}

// Reconcile records a person's finding about a call that was closed as unknown.
func (b *Broker) Reconcile(ctx context.Context, id *agents.Identity, c calls.Call, happened bool, note string) error {
	op := "reconcile " + c.ID
	if err := known(op, id); err != nil {
		return err
	}
	who := recorded(id)
	if d := b.permits(id, policy.ActionReview, resourceOf(c)); d.Effect != audit.Allow {
		return b.refuseControl(ctx, id, "reconcile", c.ID, d)
	}
	if c.State != calls.Closed || c.Closing.Type != audit.CallUnknown || c.Reconciled != nil {
		return &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: "only a call that ended as unknown, and was not reconciled yet, can be reconciled"}
	}
	data := audit.Reconciliation{Happened: happened, By: who, Note: clip(note, maxReason)}
	if err := b.write(ctx, audit.CallReconciled, b.aboutCall(c), data); err != nil {
		return &Error{Kind: LogUnavailable, Op: op, CallID: c.ID, Err: err, Retry: 5 * time.Second, Public: "the finding could not be recorded; try again"}
	}
	b.lifted(ctx, c.ID)
	return nil
}
