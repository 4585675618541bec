package policy

import (
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/deedbroker/deed/audit"
)

// Extent is how much of a domain somebody may read.
type Extent int

// The extents. A log that is read as a whole has the first and the last of them only.
const (
	Nothing Extent = iota
	Some           // some calls, or all on conditions
	Everything
)

// String is a word or two.
func (e Extent) String() string {
	switch e {
	case Everything:
		return "everything"
	case Some:
		return "some of it"
	case Nothing:
		return "nothing"
	default:
		return "an unknown part"
	}
}

// Reach says how much of a domain a person may read who has these roles and is
// otherwise nobody in particular: their token has no scopes, and the calls are others'.
//
// It asks about the domain and about calls that differ in all that the policies on
// reading look at by name: users, agents, tools and roles that they mention, and
// combinations of none of these. What a policy makes of a combination, of the time or of a
// scope can escape it; then it says Some where the whole answer is longer.
func (s *Set) Reach(roles []string, domain string, upstreams []string, now time.Time) Extent {
	p := s.probes(domain, upstreams)
	person := Link{Kind: User, ID: p.unmentioned("somebody"), Roles: roles}
	ask := Ask{Person: person, Action: ActionRead, Now: now, TokenExpires: now.Add(time.Hour)}
	whole, part := true, false
	for _, on := range p.resources() {
		ask.On = on
		reads := s.Reads(ask)
		whole, part = whole && reads == TierResults, part || reads != ""
	}
	switch {
	case whole:
		return Everything
	case part || p.some(s, ask):
		return Some
	default:
		return Nothing
	}
}

// some reports whether anything might be read: the person's own calls, or with a token
// that has what the policies ask for.
func (p *probes) some(s *Set, ask Ask) bool {
	own := p.call()
	own.Principal = ask.Person.ID
	for _, a := range p.tokens(ask) {
		for _, on := range append(p.resources(), own) {
			a.On = on
			if s.Permits(a).Effect == audit.Allow {
				return true
			}
		}
	}
	return false
}

// RolesThatRead are the roles that the policies on reading mention.
func (s *Set) RolesThatRead() []string {
	roles := s.readLiterals().of("Role")
	slices.Sort(roles)
	return slices.Compact(roles)
}

func (s *Set) readLiterals() literals {
	var l literals
	for _, r := range s.people[ActionRead].rules {
		l.entities = append(l.entities, r.literals.entities...)
		l.strings = append(l.strings, r.literals.strings...)
		l.strings = append(l.strings, examplesOf(r.policy)...)
	}
	return l
}

// of are the ids of the entities of a type.
func (l literals) of(kind string) []string {
	var ids []string
	for _, e := range l.entities {
		if string(e.Type) == kind {
			ids = append(ids, string(e.ID))
		}
	}
	return ids
}

// probes are what to ask about a domain.
type probes struct {
	literals

	domain    string
	upstreams []string
}

func (s *Set) probes(domain string, upstreams []string) *probes {
	p := &probes{literals: s.readLiterals(), domain: domain, upstreams: upstreams}
	if len(p.upstreams) == 0 {
		p.upstreams = []string{p.unmentioned("upstream")}
	}
	return p
}

// unmentioned makes a name that no policy on reading has.
func (p *probes) unmentioned(name string) string {
	for slices.Contains(p.strings, name) || slices.ContainsFunc(p.entities, func(e cedar.EntityUID) bool { return string(e.ID) == name }) {
		name += "-"
	}
	return name
}

// call is one of somebody else, through an agent that nobody mentions.
func (p *probes) call() OnCall {
	return OnCall{
		ID: p.unmentioned("call"), Tool: p.upstreams[0] + "." + p.unmentioned("tool"), Domain: p.domain,
		Principal: p.unmentioned("another"), Agents: []string{p.unmentioned("agent")},
	}
}

// resources are the domain, and calls that each differ from the plain one in one respect.
func (p *probes) resources() []Resource {
	all := []Resource{OnDomain{Name: p.domain}}
	vary := func(change func(*OnCall)) {
		c := p.call()
		change(&c)
		all = append(all, c)
	}
	for _, upstream := range p.upstreams {
		vary(func(c *OnCall) { c.Tool = upstream + "." + p.unmentioned("tool") })
	}
	vary(func(c *OnCall) { c.Principal = "" })
	vary(func(c *OnCall) { c.Agents = nil })
	for _, user := range p.of("User") {
		vary(func(c *OnCall) { c.Principal = user })
	}
	for _, agent := range p.of("Agent") {
		vary(func(c *OnCall) { c.Agents = []string{agent} })
	}
	for _, role := range p.of("Role") {
		vary(func(c *OnCall) { c.Roles = []string{role} })
	}
	for _, text := range p.strings {
		if slices.Contains(p.upstreams, upstreamOf(text)) && strings.Contains(text, ".") {
			vary(func(c *OnCall) { c.Tool = text })
		}
		vary(func(c *OnCall) { c.Approvers = []string{text} })
		vary(func(c *OnCall) { c.Principal = text })
		vary(func(c *OnCall) { c.Agents = []string{text} })
	}
	return all
}

// tokens are what the person's might be like: as it is, with every scope, and with each
// level of authentication that the policies mention.
func (p *probes) tokens(a Ask) []Ask {
	scoped := a
	scoped.Scopes = p.strings
	all := []Ask{a, scoped}
	for _, text := range p.strings {
		level := scoped
		level.ACR = text
		all = append(all, level)
	}
	return all
}
