package oidc

import (
	"strings"

	"github.com/deedbroker/deed/agents"
)

// identify reads the identity out of claims that are signed and in force.
func (v *Verifier) identify(i *issuer, c claimSet) (*agents.Identity, *agents.Rejection) {
	who, rejection := i.parties(c, v.config.MaxChain)
	if rejection != nil {
		return nil, rejection
	}
	identity := &agents.Identity{Issuer: i.URL, Principal: who.principal}
	for _, id := range who.chain {
		known, registered := i.agents[id]
		identity.Chain = append(identity.Chain, agents.Actor{ID: id, Roles: known.Roles, Registered: registered})
	}
	if client, _ := i.client(c); client == i.Audience || strings.HasPrefix(client, i.Audience+"/") {
		return nil, refuse(agents.WrongType, "issued to this resource itself, as an ID token is")
	}
	if who.principal != "" {
		if identity.Roles, rejection = roles(c, i.Claims.Roles); rejection != nil {
			return nil, rejection
		}
	}
	if identity.Scopes, rejection = scopes(c); rejection != nil {
		return nil, rejection
	}
	for name, target := range map[string]*string{"acr": &identity.ACR, "sid": &identity.Session, "jti": &identity.TokenID} {
		if *target, rejection = c.name(name); rejection != nil {
			return nil, rejection
		}
	}
	return identity, nil
}

func roles(c claimSet, path string) ([]string, *agents.Rejection) {
	names, rejection := texts(c.at(path), "the claim of roles")
	if rejection != nil {
		return nil, rejection
	}
	for _, name := range names {
		if !isName(name) {
			return nil, refuse(agents.Malformed, "a role is empty, too long, or has characters that do not print")
		}
	}
	return names, nil
}

// scopes are in scope (RFC 9068 section 2.2.3) or scp, which may also be a list.
func scopes(c claimSet) ([]string, *agents.Rejection) {
	if c.has("scope") {
		s, rejection := c.text("scope")
		return strings.Fields(s), rejection
	}
	names, rejection := texts(c["scp"], "scp")
	if rejection != nil {
		return nil, rejection
	}
	return strings.Fields(strings.Join(names, " ")), nil
}
