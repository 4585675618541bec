package broker

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// authorise asks the policy, and refuses what it denies or what finds no room to wait.
func (b *Broker) authorise(c *call) *refusal {
	d, err := b.decide(c.id, c.tool, c.args, c.intent.Identity, policy.Approvals{})
	if err != nil {
		return refusalOfPolicy(err)
	}
	c.intent.Decision = d
	switch d.Effect {
	case audit.Allow:
		return nil
	case audit.Hold:
		if !b.holds.reserve(callerOf(c.intent.Identity), b.cfg.MaxHolds, b.cfg.MaxHoldsPerCaller) {
			return &refusal{
				kind: Overloaded, code: audit.CodeOverloaded, decision: &d,
				public: "too many calls are waiting for approval; wait for some of them to be decided",
			}
		}
		return nil
	case audit.Deny:
		return &refusal{kind: Denied, code: audit.CodePolicy, public: denialText(d), decision: &d}
	default:
		return &refusal{kind: Denied, code: audit.CodePolicy, public: denialText(d), decision: &d}
	}
}

// decide asks the active policies about one call at this moment. A call that is
// permitted counts from then on, unless it has no id: the question is what would be.
func (b *Broker) decide(callID string, t *tools.Tool, args tools.Arguments, who audit.Identity, votes policy.Approvals) (audit.Decision, error) {
	return b.recalled(callID, t, args, requestFor(t, args, who, votes), who)
}

// requestFor is what the policies are asked about a call at this moment.
func requestFor(t *tools.Tool, args tools.Arguments, who audit.Identity, votes policy.Approvals) policy.Request {
	return policy.Request{
		Tool:         t.Name(),
		Links:        policy.LinksOf(who),
		Input:        args.Value,
		Text:         string(args.Canonical),
		Scopes:       who.Scopes,
		ACR:          who.ACR,
		TokenExpires: who.Expires,
		Now:          time.Now().UTC(),
		Approvals:    votes,
	}
}

func refusalOfPolicy(err error) *refusal {
	if n, ok := errors.AsType[*policy.ArgumentError](err); ok {
		return &refusal{kind: Invalid, code: audit.CodeInvalidArguments, public: n.Error(), err: err}
	}
	return &refusal{kind: Internal, code: audit.CodePolicy, public: "the policy could not be evaluated, so nothing was done", err: err}
}

// denialText tells an agent which policies denied it and why, each once.
func denialText(d audit.Decision) string {
	if len(d.Errors) > 0 {
		return "a policy failed to evaluate; an operator must mend it"
	}
	var why []string
	for _, r := range d.Reasons {
		if text := reasonText(r); text != "" && !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	if len(why) == 0 {
		why = []string{"no policy permits this"}
	}
	return strings.Join(why, "; ")
}

func reasonText(r audit.Reason) string {
	switch {
	case r.Effect == "permit":
		return ""
	case r.Policy == "":
		return "no policy permits " + r.Link + " to do this"
	case r.Text != "":
		return "policy " + r.Policy + ": " + strings.TrimSuffix(r.Text, ".")
	default:
		return "policy " + r.Policy + " forbids it to " + r.Link
	}
}
