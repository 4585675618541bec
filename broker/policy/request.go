package policy

import (
	"errors"
	"fmt"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/deedbroker/deed/audit"
)

// LinkKind tells people from agents.
type LinkKind uint8

// The kinds of link.
const (
	User LinkKind = iota + 1
	Agent
)

// Link is one party of a delegation chain: the human it is done for, or an agent that acts.
type Link struct {
	Kind  LinkKind
	ID    string // never empty
	Roles []string
	// Registered: of an agent, the broker's configuration names it.
	Registered bool
}

// String is the Cedar name of the link: User::"alice".
func (l Link) String() string { return quoted(l.uid()) }

func (l Link) uid() cedar.EntityUID {
	if l.Kind == User {
		return uid("User", l.ID)
	}
	return uid("Agent", l.ID)
}

// entity is the link with its roles, and with its attributes if any policy reads them.
func (l Link) entity(attributes bool) cedar.Entity {
	parents := make([]cedar.EntityUID, len(l.Roles))
	for i, r := range l.Roles {
		parents[i] = uid("Role", r)
	}
	e := cedar.Entity{UID: l.uid(), Parents: cedar.NewEntityUIDSet(parents...)}
	if attributes {
		named := cedar.RecordMap{"id": cedar.String(l.ID)}
		if l.Kind == Agent {
			named["registered"] = cedar.Boolean(l.Registered)
		}
		e.Attributes = cedar.NewRecord(named)
	}
	return e
}

// LinksOf are the parties of a recorded identity, which must each be allowed: the
// person, if there is one, and every agent.
func LinksOf(who audit.Identity) []Link {
	var l []Link
	if who.Principal != "" {
		l = append(l, Link{Kind: User, ID: who.Principal, Roles: who.Roles})
	}
	for _, a := range who.Chain {
		l = append(l, Link{Kind: Agent, ID: a.ID, Roles: a.Roles, Registered: a.Registered})
	}
	return l
}

// quoted is the Cedar name of an entity.
func quoted(id cedar.EntityUID) string {
	for _, c := range []byte(id.ID) {
		if c < ' ' || c > '~' || c == '"' || c == '\'' || c == '\\' {
			return id.String() // which escapes
		}
	}
	return string(id.Type) + `::"` + string(id.ID) + `"`
}

func (l Link) valid() error {
	switch {
	case l.Kind != User && l.Kind != Agent:
		return errors.New("a link of the chain is neither user nor agent")
	case l.ID == "":
		return errors.New("a link of the chain has no id")
	}
	return nil
}

// Request is one call to be decided on.
type Request struct {
	Tool string // upstream.tool
	// Links is the whole chain: the user, if there is one, and every agent, the
	// current actor before those it acts for. Each is asked.
	Links []Link
	Input any    // the arguments decoded: map[string]any with json.Number; nil for none
	Text  string // the arguments as canonical JSON

	Scopes       []string
	ACR          string // empty when the token does not say
	TokenExpires time.Time
	Now          time.Time // never zero

	Approvals Approvals
	// Recent are the values of the set's counters, where Recalls says that the tool takes them.
	Recent map[string]int64
}

// Approvals are the votes for a call, each person's once.
type Approvals struct {
	Count int
	Roles []string // all roles that the approvers have
}

// TopApprovals is the count of approvals that stands for everyone having approved.
const TopApprovals = 1_000_000

// UnknownToolError is the error of a call of a tool that the set does not have:
// it came up after the set was compiled, or is in quarantine.
type UnknownToolError struct{ Tool string }

// Error names the tool.
func (e *UnknownToolError) Error() string {
	return fmt.Sprintf("tool %q is not in the policy set", e.Tool)
}

// RequestError is the error of a request that misses what every request has. It is the caller's mistake.
type RequestError struct{ Problem string }

// Error is the problem.
func (e *RequestError) Error() string { return "decide: " + e.Problem }

func checkLinks(links []Link) error {
	if len(links) == 0 {
		return &RequestError{"there is no link"}
	}
	for _, l := range links {
		if err := l.valid(); err != nil {
			return &RequestError{err.Error()}
		}
	}
	return nil
}

func entity(id cedar.EntityUID, attributes cedar.RecordMap, parents ...cedar.EntityUID) cedar.Entity {
	return cedar.Entity{UID: id, Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(attributes)}
}

// entities are the few that one evaluation can meet: the parties in front of those that stay the same.
type entities struct {
	parties []cedar.Entity
	rest    cedar.EntityMap
}

// Get makes entities a [types.EntityGetter].
func (e *entities) Get(id types.EntityUID) (types.Entity, bool) {
	for i := range e.parties {
		if e.parties[i].UID == id {
			return e.parties[i], true
		}
	}
	found, ok := e.rest[id]
	return found, ok
}

// context builds what policies of p see, as far as they look.
func (p *plan) context(r Request) (cedar.RecordMap, error) {
	m := cedar.RecordMap{}
	if wanted := p.reads.of("input"); wanted != nil {
		input, err := p.input.arguments(r.Input, wanted)
		if err != nil {
			return nil, err
		}
		m["input"] = input
	}
	if p.reads.of("text") != nil {
		m["text"] = cedar.String(r.Text)
	}
	if p.reads.of("chain") != nil {
		m["chain"] = chainRecord(r.Links)
	}
	if p.reads.of("tool") != nil {
		m["tool"] = p.annotations
	}
	if p.reads.of("token") != nil {
		m["token"] = tokenRecord(r.Scopes, r.ACR, r.TokenExpires)
	}
	if p.reads.of("recent") != nil {
		recent, err := recentRecord(p.counters, r.Recent)
		if err != nil {
			return nil, err
		}
		m["recent"] = recent
	}
	if p.reads.of("now") != nil {
		m["now"] = cedar.NewDatetime(r.Now)
	}
	return m, nil
}

func approvalsRecord(a Approvals) cedar.Value {
	return cedar.NewRecord(cedar.RecordMap{"count": cedar.Long(a.Count), "roles": stringSet(a.Roles)})
}

func tokenRecord(scopes []string, acr string, expires time.Time) cedar.Value {
	m := cedar.RecordMap{"scopes": stringSet(scopes), "expires": cedar.NewDatetime(expires)}
	if acr != "" {
		m["acr"] = cedar.String(acr)
	}
	return cedar.NewRecord(m)
}

func chainRecord(links []Link) cedar.Value {
	m := cedar.RecordMap{}
	agents := make([]cedar.Value, 0, len(links))
	for _, l := range links {
		switch l.Kind {
		case User:
			m["user"] = l.uid()
		case Agent:
			if len(agents) == 0 {
				m["actor"] = l.uid()
			}
			agents = append(agents, l.uid())
		}
	}
	m["agents"] = cedar.NewSet(agents...)
	m["depth"] = cedar.Long(len(agents))
	return cedar.NewRecord(m)
}

func stringSet(words []string) cedar.Set {
	values := make([]cedar.Value, len(words))
	for i, w := range words {
		values[i] = cedar.String(w)
	}
	return cedar.NewSet(values...)
}
