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

// peopleActions are what people do, and on which types of resource.
func peopleActions() map[string][]cedar.EntityType {
	return map[string][]cedar.EntityType{
		ActionApprove: {"Call"},
		ActionErase:   {"Call"},
		ActionGrant:   {"Call"},
		ActionRead:    {"Call", "Agent", "Tool", "Domain"},
		ActionRevoke:  {"Agent", "User", "Domain"},
		ActionReview:  {"Tool", "Call"},
		ActionRotate:  {"Domain"},

		ActionLegalHold: {"Domain"},
	}
}

// ofPeople reports whether action is people's own rather than a tool.
func ofPeople(action string) bool { return !strings.Contains(action, ".") }

// Ask is a person's question whether they may do something themselves.
type Ask struct {
	Person Link   // a User: nobody else can
	Action string // one of people's actions, such as ActionApprove
	On     Resource
	Tier   Tier // of ActionRead: how much of it; TierMetadata if left out

	Scopes       []string
	ACR          string
	TokenExpires time.Time
	Now          time.Time // never zero
}

// Resource is what a person acts on: [OnCall], [OnAgent], [OnUser], [OnTool] or [OnDomain].
type Resource interface {
	id() cedar.EntityUID
	entities() cedar.EntityMap
}

// OnCall is a call, held or over.
type OnCall struct {
	ID        string
	Tool      string // upstream.tool
	Domain    string
	Principal string   // for whom it is made; empty when an agent acts on its own
	Roles     []string // of the principal; an agent in a call has none here
	Agents    []string // the chain, the current actor first
	Known     []string // of Agents, those that are registered
	Approvers []string // the roles that its hold waits for
}

func (c OnCall) id() cedar.EntityUID { return uid("Call", c.ID) }

func (c OnCall) entities() cedar.EntityMap {
	upstream, domain := uid("Upstream", upstreamOf(c.Tool)), uid("Domain", c.Domain)
	// No person has an empty id, so nobody is the principal of a call without one.
	principal := Link{Kind: User, ID: c.Principal, Roles: c.Roles}.entity(true)
	known := cedar.EntityMap{principal.UID: principal}
	agents := make([]cedar.Value, len(c.Agents))
	for i, a := range c.Agents {
		agent := Link{Kind: Agent, ID: a, Registered: slices.Contains(c.Known, a)}.entity(true)
		agents[i], known[agent.UID] = agent.UID, agent
	}
	attributes := cedar.RecordMap{
		"principal": principal.UID,
		"agents":    cedar.NewSet(agents...),
		"tool":      cedar.String(c.Tool),
		"approvers": stringSet(c.Approvers),
	}
	if len(agents) > 0 {
		attributes["actor"] = agents[0]
	}
	// The call keeps the domain that it was recorded in, whatever its upstream's is by now.
	known[c.id()] = entity(c.id(), attributes, upstream, domain)
	return known
}

// OnAgent is an agent.
type OnAgent struct {
	ID         string
	Roles      []string
	Registered bool
}

func (a OnAgent) id() cedar.EntityUID { return uid("Agent", a.ID) }

func (a OnAgent) entities() cedar.EntityMap {
	return cedar.EntityMap{a.id(): Link{Kind: Agent, ID: a.ID, Roles: a.Roles, Registered: a.Registered}.entity(true)}
}

// OnUser is a person other people act on.
type OnUser struct {
	ID    string
	Roles []string // as far as they are known
}

func (u OnUser) id() cedar.EntityUID { return uid("User", u.ID) }

func (u OnUser) entities() cedar.EntityMap {
	return cedar.EntityMap{u.id(): Link{Kind: User, ID: u.ID, Roles: u.Roles}.entity(true)}
}

// OnTool is a tool, in force or in quarantine.
type OnTool struct {
	Tool   string // upstream.tool
	Domain string
}

func (t OnTool) id() cedar.EntityUID { return uid("Tool", t.Tool) }

func (t OnTool) entities() cedar.EntityMap {
	upstream, domain := uid("Upstream", upstreamOf(t.Tool)), uid("Domain", t.Domain)
	return cedar.EntityMap{
		t.id():   entity(t.id(), cedar.RecordMap{"name": cedar.String(t.Tool)}, upstream),
		upstream: entity(upstream, nil, domain),
	}
}

// OnDomain is a domain: reading it is reading records that are about no call.
type OnDomain struct{ Name string }

func (d OnDomain) id() cedar.EntityUID { return uid("Domain", d.Name) }

func (d OnDomain) entities() cedar.EntityMap { return nil }

// Permits says whether a person may act. The caller has made sure that a person
// asks: a token with an actor in it is none. The effect is Allow or Deny, never
// Hold; a denial that a stronger login would lift, as a policy's @acr names it, says so
// in StepUp. It denies whatever is not a question that policies can answer.
func (s *Set) Permits(a Ask) audit.Decision {
	p, err := s.askable(a)
	if err != nil {
		return s.refuse(err)
	}
	said := p.ask(a)
	d := s.decided(said)
	if d.Effect == audit.Allow {
		return d
	}
	for _, by := range said.reasons {
		if by.rule == nil || by.rule.acr == "" || by.rule.acr == a.ACR {
			continue
		}
		stronger := a
		if stronger.ACR = by.rule.acr; p.ask(stronger).allowed {
			d.StepUp = stronger.ACR
			break
		}
	}
	return d
}

func (p *peoplePlan) ask(a Ask) answer {
	who := &entities{parties: []cedar.Entity{a.Person.entity(true)}, rest: a.On.entities()}
	said := answer{allowed: true}
	context := cedar.RecordMap{
		"now":   cedar.NewDatetime(a.Now),
		"token": tokenRecord(a.Scopes, a.ACR, a.TokenExpires),
	}
	if a.Action == ActionRead {
		context["tier"] = cmp.Or(a.Tier, TierMetadata).value()
	}
	said.add(p.rules, who, cedar.Request{Principal: a.Person.uid(), Action: p.action, Resource: a.On.id(), Context: cedar.NewRecord(context)})
	return said
}

func (s *Set) askable(a Ask) (*peoplePlan, error) {
	p, ok := s.people[a.Action]
	switch {
	case !ok:
		return nil, &RequestError{fmt.Sprintf("people have no action %q", a.Action)}
	case a.Person.Kind != User || a.Person.ID == "":
		return nil, &RequestError{"only a person can " + a.Action}
	case a.On == nil || a.On.id().ID == "":
		return nil, &RequestError{"nothing to " + a.Action}
	case a.Now.IsZero():
		return nil, &RequestError{"the time is missing"}
	case a.Tier != "" && (a.Action != ActionRead || !slices.Contains(Tiers(), a.Tier)):
		return nil, &RequestError{fmt.Sprintf("nobody can %s the tier %q", a.Action, a.Tier)}
	}
	if !slices.Contains(p.resources, a.On.id().Type) {
		return nil, &RequestError{fmt.Sprintf("nobody can %s a %s", a.Action, a.On.id().Type)}
	}
	return p, nil
}
