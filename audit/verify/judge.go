package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// judge checks what package calls leaves to a reader of the whole history: whether
// the envelope says the same as the call, who approved, and by which policies.
func (p *protocol) judge(ctx context.Context, r audit.Record, e audit.Event, call *calls.Call, counted bool) {
	p.envelope(r, e, call)
	var d *audit.Decision
	switch {
	case !counted:
		return
	case e.Type == audit.CallIntent:
		d = &call.Intent.Decision
	case e.Type == audit.CallApproval:
		vote := call.Votes[len(call.Votes)-1]
		d = &vote.Decision
		p.selfApproval(r, call, vote)
		p.granted(ctx, r, call, vote)
	case e.Type == audit.CallEdited: // its editor's approval stands first
		d = &call.Edits[len(call.Edits)-1].Decision
		p.selfApproval(r, call, call.Votes[0])
	case e.Type == audit.CallReleased:
		d = &call.Release.Decision
	case e.Type.Closes():
		d = call.Outcome.Decision
	}
	if d != nil && len(p.v.policies) > 0 && !p.v.policies[d.PolicySet] {
		p.blame(Finding{
			Rule: UnknownPolicy, Where: r.Position, CallID: call.ID,
			Expected: "a decision by policies that were put in force", Found: fmt.Sprintf("one by the set %q", d.PolicySet),
		})
	}
}

// blame keeps a finding until it is known whether the call is read again.
func (p *protocol) blame(f Finding) { p.findings[f.CallID] = append(p.findings[f.CallID], f) }

// envelope compares the attributes in the clear with whose call it is.
func (p *protocol) envelope(r audit.Record, e audit.Event, call *calls.Call) {
	id := call.Intent.Identity
	actor := ""
	if len(id.Chain) > 0 {
		actor = id.Chain[0].ID
	}
	expires := e.TokenExpires == nil || e.TokenExpires.Equal(id.Expires)
	if e.Principal == id.Principal && e.Actor == actor && expires {
		return
	}
	p.blame(Finding{
		Rule: Envelope, Where: r.Position, CallID: call.ID,
		Expected: parties(id.Principal, actor, &id.Expires), Found: parties(e.Principal, e.Actor, e.TokenExpires),
	})
}

func parties(principal, actor string, expires *time.Time) string {
	s := fmt.Sprintf("principal %q, actor %q", principal, actor)
	if expires != nil {
		s += ", token until " + expires.UTC().Format(time.RFC3339)
	}
	return s
}

func (p *protocol) selfApproval(r audit.Record, call *calls.Call, vote calls.Vote) {
	id := call.Intent.Identity
	if p.v.options.SelfApproval || vote.By.Principal != id.Principal || vote.By.Issuer != id.Issuer {
		return
	}
	p.blame(Finding{
		Rule: SelfApproval, Where: r.Position, CallID: call.ID,
		Expected: "approval by somebody else than " + id.Principal, Found: id.Principal + " approved what is done in their own name",
	})
}
