package config

import (
	"net/url"
	"slices"
	"strings"
)

// issuer checks what most issuers leave out.
func (v *validation) issuer(key string, i Issuer) {
	if i.Audience != "" {
		v.word(child(key, "audience"), i.Audience)
	}
	if i.Claims.Subject != "" {
		v.word(child(key, "claims.subject"), i.Claims.Subject)
	}
	for n, host := range i.Hosts {
		if u, err := url.Parse("https://" + host); err != nil || u.Host != host || host == "" || strings.Contains(host, "*") {
			v.fail(item(child(key, "hosts"), n), "%q is not a host name; write it without scheme and path", host)
		}
	}
	for _, client := range sorted(i.Clients) {
		at := child(child(key, "clients"), client)
		v.word(at, client)
		v.word(at, i.Clients[client])
		if slices.Contains(i.PeopleClients, client) {
			v.fail(at, "is in people_clients too; it cannot stand for an agent")
		}
	}
	if i.Console.ClientID != "" {
		v.word(child(key, "console.client_id"), i.Console.ClientID)
	}
	v.scopeNames(child(key, "console.scopes"), i.Console.Scopes)
	v.dpop(child(key, "dpop"), i.DPoP)
	if in := i.Introspection; in != nil {
		v.introspection(child(key, "introspection"), in)
	}
}

func (v *validation) dpop(key string, d DPoP) {
	if d != "" && d != DPoPAccepted && d != DPoPRequired {
		v.fail(key, "%q is neither %q nor %q", d, DPoPAccepted, DPoPRequired)
	}
}

func (v *validation) introspection(key string, in *Introspection) {
	if in.Endpoint != "" {
		v.webURL(child(key, "endpoint"), in.Endpoint)
	}
	v.word(child(key, "client_id"), in.ClientID)
	if in.ClientSecret.IsZero() {
		v.fail(child(key, "client_secret"), "is needed; write where it is: \"env://NAME\" or \"file:///absolute/path\"")
	}
	v.positive(child(key, "every"), in.Every)
}

func (v *validation) scopes(s Scopes) {
	v.scopeNames("scopes.required", s.Required)
	for _, name := range sorted(s.Includes) {
		v.scopeNames("scopes.includes", []string{name})
		v.scopeNames(child("scopes.includes", name), s.Includes[name])
	}
}

func (v *validation) upstreamScopes(key string, u *Upstream) {
	v.scopeNames(child(key, "scopes"), u.Scopes)
	for _, tool := range sorted(u.ToolScopes) {
		v.scopeNames(child(child(key, "tool_scopes"), tool), u.ToolScopes[tool])
	}
}

// scopeNames checks scopes by RFC 6749 appendix A.4.
func (v *validation) scopeNames(key string, names []string) {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	for n, name := range names {
		if name == "" || strings.ContainsFunc(name, bad) {
			v.fail(item(key, n), "%q is not a scope; it has no spaces, quotes or backslashes", name)
		}
	}
}
