package policy

import (
	"slices"
	"sync"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/deedbroker/deed/audit"
)

// Set is a compiled set of policies. It is immutable and safe for concurrent use.
type Set struct {
	digest      string
	schema      string
	hold        time.Duration
	rules       rules
	names       []string // of files
	quarantined []string
	counters    []Counter
	none, top   cedar.Value            // context.approvals when nobody, and when everyone has approved
	roles       []string               // that the policies mention
	tools       map[string]*plan       // by upstream.tool
	people      map[string]*peoplePlan // by action

	visible sync.Mutex
	seen    map[string][]string // guarded by visible
}

// plan is what deciding on one tool takes.
type plan struct {
	action, resource cedar.EntityUID
	entities         cedar.EntityMap // the action and the resource
	rules            rules           // that can apply
	permits          rules           // those of them that permit
	reads            *reads          // of the context, by any of them
	holds            bool            // some of them look at approvals
	names            bool            // some of them look at the ids of users and agents
	counters         []Counter
	input            *shape
	annotations      cedar.Record
}

// peoplePlan is what deciding on one action of people takes.
type peoplePlan struct {
	action    cedar.EntityUID
	resources []cedar.EntityType
	rules     rules
}

func (c *compilation) set() *Set {
	roles := c.everyRole()
	s := &Set{
		roles: roles, digest: Digest(c.files), schema: c.checker.text, hold: c.DefaultHold,
		rules: c.rules, quarantined: c.quarantined, counters: c.counters,
		none:  approvalsRecord(Approvals{}),
		top:   approvalsRecord(Approvals{Count: TopApprovals, Roles: roles}),
		tools: make(map[string]*plan, len(c.tools)), people: map[string]*peoplePlan{},
		seen: map[string][]string{},
	}
	if s.hold == 0 {
		s.hold = DefaultHold
	}
	for _, f := range byName(c.files) {
		s.names = append(s.names, f.Name)
	}
	for _, t := range c.tools {
		s.tools[t.ID()] = c.plan(t)
	}
	for action, resources := range peopleActions() {
		applies := func(r *rule) bool { return appliesTo(r.policy, actionUID(action), nil) }
		s.people[action] = &peoplePlan{action: actionUID(action), resources: resources, rules: c.about(applies)}
	}
	return s
}

func (c *compilation) about(applies func(*rule) bool) rules {
	var some rules
	for _, r := range c.rules {
		if applies(r) {
			some = append(some, r)
		}
	}
	return some
}

func (c *compilation) plan(t Tool) *plan {
	p := &plan{
		action: actionUID(t.ID()), resource: uid("Upstream", t.Upstream),
		rules: c.about(func(r *rule) bool { return c.applies(r, t) }),
		input: c.shapes[t.ID()], annotations: t.record(), counters: c.counters,
	}
	p.permits = p.rules.permits()
	p.reads = p.rules.reads()
	p.holds = slices.ContainsFunc(p.rules, func(r *rule) bool { return r.holds })
	p.names = slices.ContainsFunc(p.rules, func(r *rule) bool { return readsAttribute(r.policy, "id") || readsAttribute(r.policy, "registered") })
	p.entities = cedar.EntityMap{
		p.action:   entity(p.action, nil, actionUID(t.Upstream), actionUID(callGroup)),
		p.resource: entity(p.resource, nil, uid("Domain", t.Domain)),
	}
	return p
}

// known are the entities of a call of the plan's tool by links.
func (p *plan) known(links []Link) *entities {
	e := &entities{parties: make([]cedar.Entity, len(links)), rest: p.entities}
	for i, l := range links {
		e.parties[i] = l.entity(p.names)
	}
	return e
}

// everyRole is every role that anything mentions. Policies compare the roles of
// approvers with strings, so every string of a policy that looks at approvals counts.
func (c *compilation) everyRole() []string {
	roles := slices.Clone(c.Roles)
	for _, r := range c.rules {
		roles = append(roles, r.approvers...)
		for _, e := range r.literals.entities {
			if e.Type == "Role" {
				roles = append(roles, string(e.ID))
			}
		}
		if r.holds {
			roles = append(roles, r.literals.strings...)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// NamesCalls reports whether a policy on what people do names a single call: calls that are
// alike in everything else may fare differently then.
func (s *Set) NamesCalls() bool {
	for _, p := range s.people {
		for _, r := range p.rules {
			if len(r.literals.of("Call")) > 0 {
				return true
			}
		}
	}
	return false
}

// Digest is the hex SHA-256 of the set, see the function [Digest].
func (s *Set) Digest() string { return s.digest }

// Schema is the Cedar schema that the policies were checked against, in Cedar's own notation.
func (s *Set) Schema() string { return s.schema }

// Files are the names of the policy files, sorted.
func (s *Set) Files() []string { return slices.Clone(s.names) }

// Quarantined are the tools that were left out because a policy does not fit them, sorted.
// Every call of them is refused.
func (s *Set) Quarantined() []string { return slices.Clone(s.quarantined) }

// Info describes one policy of a set.
type Info struct {
	ID        string
	Effect    string // permit or forbid
	File      string
	Line      int
	Reason    string
	Approvers []string
	Expires   time.Duration // 0 if the policy does not say
	Text      string        // in Cedar's canonical form
}

// Policies lists the policies by id.
func (s *Set) Policies() []Info {
	list := make([]Info, len(s.rules))
	for i, r := range s.rules {
		list[i] = Info{
			ID: r.id, Effect: effectName(r), File: r.file, Line: r.policy.Position().Line,
			Reason: r.reason, Approvers: slices.Clone(r.approvers), Expires: r.expires,
			Text: string(r.policy.MarshalCedar()),
		}
	}
	return list
}

// About are the ids of the policies that can have a say in calls of a tool, by their scopes.
func (s *Set) About(tool string) []string {
	p, known := s.tools[tool]
	if !known {
		return nil
	}
	ids := make([]string, len(p.rules))
	for i, r := range p.rules {
		ids[i] = r.id
	}
	slices.Sort(ids)
	return ids
}

func effectName(r *rule) string {
	if r.policy.Effect() == cedar.Permit {
		return effectPermit
	}
	return effectForbid
}

// The effects of a [audit.Reason].
const (
	effectPermit = "permit"
	effectForbid = "forbid"
	effectNone   = "none" // no policy permits
)

// refuse is the decision on what cannot be decided.
func (s *Set) refuse(err error) audit.Decision {
	return audit.Decision{Effect: audit.Deny, PolicySet: s.digest, Errors: []string{err.Error()}}
}
