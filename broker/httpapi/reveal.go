package httpapi

import (
	"cmp"
	"context"
	"net/http"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
)

// Withheld says why something of a call is not shown. What is shown, or not there, is left out.
type Withheld struct {
	Arguments string `json:"arguments,omitempty"` // and the justification, and the call in words
	Output    string `json:"output,omitempty"`
}

// tier is how much a request asks for; all that its maker may read, unless it says less.
func (p *parameters) tier() policy.Tier {
	if t := p.one("tier", string(policy.TierMetadata), string(policy.TierArguments), string(policy.TierResults)); t != "" {
		return policy.Tier(t)
	}
	return policy.TierResults
}

// lesser is as much as both tiers have.
func lesser(a, b policy.Tier) policy.Tier {
	if a.Covers(b) {
		return b
	}
	return a
}

// show says how much of a call is shown, of as much as might be, and why not more.
func (c *HeldCall) show(most, shown policy.Tier, answered bool) {
	c.MayRead, c.Tier = string(most), string(shown)
	c.Withheld.Arguments = withheldFor(most, shown, policy.TierArguments)
	if answered {
		c.Withheld.Output = withheldFor(most, shown, policy.TierResults)
	}
}

func withheldFor(most, shown, needed policy.Tier) string {
	switch {
	case shown.Covers(needed):
		return ""
	case most.Covers(needed):
		return "not asked for: tier=" + string(needed) + " shows it"
	case most.Covers(policy.TierArguments):
		return "withheld: policy lets you read metadata and arguments, not results"
	default:
		return "withheld: policy lets you read metadata only"
	}
}

// reveal shows a call once it is on record that the viewer sees what they do of it.
func (a *api) reveal(ctx context.Context, v *viewer, f found, upTo policy.Tier) (CallDetail, error) {
	d := a.detail(ctx, v, f, upTo)
	tier := v.revealed(d.HeldCall)
	if d.Output != nil && !v.made(d.CallSummary) {
		tier = policy.TierResults
	}
	switch {
	case tier == "" && v.made(d.CallSummary):
		return d, nil
	case tier == "":
		return d, a.cfg.Broker.Browsing(ctx, v.id, audit.Reading{What: audit.ReadList, Call: d.CallID, Tier: d.seen()})
	}
	return d, a.cfg.Broker.Reading(ctx, v.id, audit.Reading{What: audit.ReadCall, Call: d.CallID, Tier: string(tier)})
}

// made reports whether a call is the viewer's own.
func (v *viewer) made(c CallSummary) bool { return c.Principal != "" && c.Principal == v.id.Principal }

// revealed is how much of what others' calls were made with a view shows, to one who is not to
// decide on it.
func (v *viewer) revealed(c HeldCall) policy.Tier {
	if v.made(c.CallSummary) || c.MayVote || c.seen() == "" {
		return ""
	}
	return policy.TierArguments
}

// seen is how much of what a call was made with a view shows: arguments, or nothing.
func (c *HeldCall) seen() string {
	if c.Arguments == nil && c.Asked == nil && c.Justification == "" {
		return ""
	}
	return string(policy.TierArguments)
}

// revealHeld records that the viewer sees the arguments of calls that are not theirs to
// decide, or else that they see the calls of others.
func (a *api) revealHeld(r *http.Request, v *viewer, list []HeldCall) error {
	look := audit.Reading{What: audit.ReadList, For: soughtFor(r.URL.Query())}
	others := false
	for _, c := range list {
		if tier := v.revealed(c); tier != "" {
			look.What, look.Tier = audit.ReadSearch, string(tier)
			return a.cfg.Broker.Reading(r.Context(), v.id, look)
		}
		if !v.made(c.CallSummary) {
			others, look.Tier = true, cmp.Or(look.Tier, c.seen())
		}
	}
	if !others {
		return nil
	}
	return a.cfg.Broker.Browsing(r.Context(), v.id, look)
}

// most is the most of a call that the viewer may be shown.
func (v *viewer) most(f found) policy.Tier {
	most := v.reads(broker.SubjectOf(f.call))
	if f.held != nil && f.held.MayVote && !most.Covers(policy.TierArguments) {
		most = policy.TierArguments // one decides on them
	}
	return most
}
