package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/deedbroker/deed/audit"
)

// Decide says what becomes of a call.
//
// Every link is asked and has to be allowed; a policy that errs denies. A denial
// that approvals would lift is a hold: its Reasons are the policies that made
// the difference, Approvers their roles (none: whoever may approve), and Expires
// is Now plus the shortest of their limits. Expires moves with Now: the first
// decision's is the one that counts.
//
// The decision is always good to record: when there is an error, it denies and
// says so. The error is an [*ArgumentError], an [*UnknownToolError] or a [*RequestError].
func (s *Set) Decide(r Request) (audit.Decision, error) {
	e, err := s.examine(r)
	if err != nil {
		return s.refuse(err), err
	}
	approvals := s.none
	if r.Approvals.Count != 0 || len(r.Approvals.Roles) != 0 {
		approvals = approvalsRecord(r.Approvals)
	}
	now := e.ask(approvals)
	if now.allowed || now.errors != nil || !e.plan.holds {
		return s.decided(now), nil
	}
	lifted := e.ask(s.top)
	if !lifted.allowed {
		return s.decided(now), nil
	}
	return s.held(e.difference(now, lifted, approvals), r.Now), nil
}

// examination is one call being decided on.
type examination struct {
	plan    *plan
	parties *entities       // all of them are known to every evaluation
	context cedar.RecordMap // without approvals
}

func (s *Set) examine(r Request) (*examination, error) {
	p, ok := s.tools[r.Tool]
	if !ok {
		return nil, &UnknownToolError{Tool: r.Tool}
	}
	if err := checkLinks(r.Links); err != nil {
		return nil, err
	}
	if r.Now.IsZero() {
		return nil, &RequestError{"the time is missing"}
	}
	context, err := p.context(r)
	if err != nil {
		return nil, err
	}
	return &examination{plan: p, parties: p.known(r.Links), context: context}, nil
}

// answer is what policies said of all links.
type answer struct {
	allowed bool
	reasons []determined // by link, then by policy
	errors  []string
}

// determined is one rule that determined the answer for one link.
type determined struct {
	rule *rule // nil: no policy permits
	link cedar.EntityUID
}

// ask evaluates every policy for every link.
func (e *examination) ask(approvals cedar.Value) answer {
	req := e.request(approvals)
	a := answer{allowed: true}
	for _, party := range e.parties.parties {
		req.Principal = party.UID
		a.add(e.plan.rules, e.parties, req)
	}
	return a
}

func (e *examination) request(approvals cedar.Value) cedar.Request {
	if e.plan.holds {
		e.context["approvals"] = approvals
	}
	return cedar.Request{Action: e.plan.action, Resource: e.plan.resource, Context: cedar.NewRecord(e.context)}
}

// add asks rs about one principal.
func (a *answer) add(rs rules, who *entities, req cedar.Request) {
	decision, diagnostic := cedar.Authorize(rs, who, req)
	a.allowed = a.allowed && decision == cedar.Allow && len(diagnostic.Errors) == 0
	for _, r := range diagnostic.Reasons {
		a.reasons = append(a.reasons, determined{rule: rs.find(r.PolicyID), link: req.Principal})
	}
	if len(diagnostic.Reasons) == 0 {
		a.reasons = append(a.reasons, determined{link: req.Principal})
	}
	for _, err := range diagnostic.Errors {
		a.errors = append(a.errors, fmt.Sprintf("policy %s on %s: %s", err.PolicyID, quoted(req.Principal), withoutValues(err.Message)))
	}
}

// withoutValues cuts the operands from what Cedar says of arithmetic: they can be arguments.
func withoutValues(message string) string {
	short, _, _ := strings.Cut(message, " while attempting")
	return short
}

// difference returns the policies that keep the call from running now and not
// when everyone has approved: the forbids that fall away, and the permits that
// come to links which nothing permits before.
func (e *examination) difference(now, lifted answer, approvals cedar.Value) []determined {
	var made []determined
	for _, d := range now.reasons {
		if d.rule != nil && d.rule.policy.Effect() == cedar.Forbid {
			made = append(made, d)
		}
	}
	req := e.request(approvals)
	for _, party := range e.parties.parties {
		req.Principal = party.UID
		permitted := answer{allowed: true}
		if permitted.add(e.plan.permits, e.parties, req); permitted.allowed {
			continue
		}
		for _, d := range lifted.reasons {
			if d.link == party.UID {
				made = append(made, d)
			}
		}
	}
	slices.SortFunc(made, func(a, b determined) int {
		return cmp.Or(cmp.Compare(a.rule.id, b.rule.id), cmp.Compare(a.link.Type, b.link.Type), cmp.Compare(a.link.ID, b.link.ID))
	})
	return slices.Compact(made)
}

func (s *Set) decided(a answer) audit.Decision {
	d := audit.Decision{Effect: audit.Deny, PolicySet: s.digest, Reasons: reasons(a.reasons), Errors: a.errors}
	if a.allowed {
		d.Effect = audit.Allow
	}
	return d
}

func (s *Set) held(by []determined, now time.Time) audit.Decision {
	var limit time.Duration
	var approvers []string
	for _, d := range by {
		approvers = append(approvers, d.rule.approvers...)
		if e := d.rule.expires; e > 0 && (limit == 0 || e < limit) {
			limit = e
		}
	}
	slices.Sort(approvers)
	expires := now.Add(cmp.Or(limit, s.hold)).UTC()
	return audit.Decision{
		Effect: audit.Hold, PolicySet: s.digest, Reasons: reasons(by),
		Approvers: slices.Compact(approvers), Expires: &expires,
	}
}

func reasons(by []determined) []audit.Reason {
	list := make([]audit.Reason, len(by))
	for i, d := range by {
		list[i] = audit.Reason{Effect: effectNone, Link: quoted(d.link)}
		if d.rule != nil {
			list[i].Policy, list[i].Effect, list[i].Text = d.rule.id, effectName(d.rule), d.rule.reason
		}
	}
	return list
}

// MayLift reports whether someone with roles is among the approvers that a hold
// names; one that names none can be lifted by whoever may approve. It adds to
// [Set.Permits], it does not replace it.
func MayLift(approvers, roles []string) bool {
	return len(approvers) == 0 || slices.ContainsFunc(roles, func(r string) bool {
		return slices.Contains(approvers, r)
	})
}
