package oidc

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/agents"
)

// parties are who a token speaks of, qualified.
type parties struct {
	principal string   // empty if no person stands behind the token
	chain     []string // the current actor first
}

// link is one act claim (RFC 8693 section 4.1).
type link struct {
	subject string
	clients []string // what client_id and azp within it say
}

func (l link) is(client string) bool {
	for _, named := range l.clients {
		if named != client {
			return false
		}
	}
	return l.subject == client || len(l.clients) > 0
}

// parties tells who is behind a token; the package comment has the rules.
func (i *issuer) parties(c claimSet, maxChain int) (parties, *agents.Rejection) {
	var none parties
	subject, rejection := i.subject(c)
	if rejection != nil {
		return none, rejection
	}
	client, rejection := i.client(c)
	if rejection != nil {
		return none, rejection
	}
	links, rejection := i.links(c, maxChain)
	if rejection != nil {
		return none, rejection
	}
	if len(links) == 0 && client == "" {
		return none, refuse(agents.BadChain, "neither an actor nor a client is named")
	}
	if len(links) > 0 && client != "" && !links[0].is(client) && (len(links[0].clients) > 0 || i.named(links[0].subject) != i.named(client)) {
		return none, refuse(agents.BadChain, "the current actor is not the client that the token was issued to")
	}
	p := parties{principal: subject}
	for _, l := range links {
		p.chain = append(p.chain, i.named(l.subject))
	}
	switch {
	case subject == client || i.isServiceAccount(c, client):
		p.principal, p.chain = "", endIn(p.chain, i.named(client))
	case i.isAgent(subject):
		p.principal, p.chain = "", endIn(p.chain, i.named(subject))
	case len(links) == 0 && !slices.Contains(i.PeopleClients, client):
		if rejection := i.mayAct(c, client); rejection != nil {
			return none, rejection
		}
		p.chain = []string{i.named(client)}
	}
	if len(p.chain) > maxChain {
		return none, refuse(agents.BadChain, "the chain is too long")
	}
	return i.qualified(p), nil
}

// endIn is the chain with agent as its first cause.
func endIn(chain []string, agent string) []string {
	if len(chain) > 0 && chain[len(chain)-1] == agent {
		return chain
	}
	return append(chain, agent)
}

func (i *issuer) subject(c claimSet) (string, *agents.Rejection) {
	raw := c["sub"]
	if i.Claims.Subject != "" {
		raw = c.at(i.Claims.Subject)
	}
	if raw == nil {
		return "", refuse(agents.NoSubject, "sub is missing")
	}
	s, ok := asText(raw)
	if !ok || !i.owns(s) {
		return "", refuse(agents.NoSubject, "sub is not a name of this issuer")
	}
	return s, nil
}

// owns tells whether a name is sane, and cannot be taken for one of another issuer.
func (i *issuer) owns(name string) bool {
	if !isName(name) {
		return false
	}
	prefix, _, ok := strings.Cut(name, ":")
	return i.Prefix != "" || !ok || !i.foreign[prefix]
}

// client is who the token was issued to; empty if it does not say.
func (i *issuer) client(c claimSet) (string, *agents.Rejection) {
	names := []string{"azp", "client_id"}
	if own := i.Claims.Agent; own != "" && !slices.Contains(names, own) {
		names = []string{own}
	}
	client := ""
	for _, name := range names {
		if !c.has(name) {
			continue
		}
		s, ok := asText(c[name])
		if !ok || !i.owns(s) {
			return "", refuse(agents.BadChain, name+" is not a name of this issuer")
		}
		if client != "" && client != s {
			return "", refuse(agents.BadChain, "azp and client_id name two clients")
		}
		client = s
	}
	return client, nil
}

func (i *issuer) links(c claimSet, maxChain int) ([]link, *agents.Rejection) {
	var links []link
	for raw, more := c["act"], c.has("act"); more; {
		if len(links) == maxChain {
			return nil, refuse(agents.BadChain, "act is nested too deeply")
		}
		inner, ok := decodeClaims(raw)
		if !ok {
			return nil, refuse(agents.BadChain, "act is not an object")
		}
		l, rejection := i.link(inner)
		if rejection != nil {
			return nil, rejection
		}
		links = append(links, l)
		raw, more = inner["act"], inner.has("act")
	}
	return links, nil
}

func (i *issuer) link(c claimSet) (link, *agents.Rejection) {
	var l link
	for name, raw := range c {
		switch name {
		case "act":
		case "iss":
			if s, ok := asText(raw); !ok || s != i.URL {
				return l, refuse(agents.BadChain, "act is of another issuer")
			}
		case "sub", "client_id", "azp":
			s, ok := asText(raw)
			if !ok || !i.owns(s) {
				return l, refuse(agents.BadChain, name+" in act is not a name of this issuer")
			}
			if name == "sub" {
				l.subject = s
				continue
			}
			l.clients = append(l.clients, s)
		default:
			if !isScalar(raw) {
				return l, refuse(agents.BadChain, "act has a claim of an unknown shape")
			}
		}
	}
	if l.subject == "" {
		return l, refuse(agents.BadChain, "act has no sub")
	}
	return l, nil
}

func isScalar(raw jsontext.Value) bool { return raw.Kind() != '{' && raw.Kind() != '[' }

func (i *issuer) isServiceAccount(c claimSet, client string) bool {
	mark := i.Claims.ServiceAccount
	if mark.Claim == "" || client == "" {
		return false
	}
	s, ok := asText(c.at(mark.Claim))
	return ok && s == strings.ReplaceAll(mark.Value, "{client}", client)
}

func (i *issuer) isAgent(name string) bool {
	_, ok := i.agents[qualify(i.Prefix, i.named(name))]
	return ok
}

func (i *issuer) qualified(p parties) parties {
	if p.principal != "" {
		p.principal = qualify(i.Prefix, p.principal)
	}
	for n, name := range p.chain {
		p.chain[n] = qualify(i.Prefix, name)
	}
	return p
}

// named is the agent that stands behind a client's ID, else the ID itself.
func (i *issuer) named(client string) string {
	if agent, ok := i.Clients[client]; ok {
		return agent
	}
	return client
}

// mayAct honours may_act (RFC 8693 section 4.4): where the issuer cannot say who acts, and
// the client is taken for the actor, it must be one that the token lets act.
func (i *issuer) mayAct(c claimSet, client string) *agents.Rejection {
	if !c.has("may_act") {
		return nil
	}
	allowed, ok := decodeClaims(c["may_act"])
	if !ok {
		return refuse(agents.BadChain, "may_act is not an object")
	}
	l, rejection := i.link(allowed)
	if rejection != nil {
		return refuse(agents.BadChain, "may_act does not name an actor of this issuer")
	}
	if !l.is(client) {
		return refuse(agents.BadChain, "may_act lets another than this client act")
	}
	return nil
}
