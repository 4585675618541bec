package config

import (
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/deedbroker/deed/broker/sentence"
)

func (v *validation) upstream(key, name string, u *Upstream, domains map[string]Domain) {
	v.name(key, name)
	v.unreserved(key, name)
	switch _, known := domains[u.Domain]; {
	case u.Domain == "":
		v.fail(child(key, "domain"), "is needed; name one of domains")
	case u.Domain == reserved:
		v.fail(child(key, "domain"), "%q is the broker's own; name another", reserved)
	case !known:
		v.fail(child(key, "domain"), "%q is not among domains (%s); add it there or name another", u.Domain, strings.Join(sorted(domains), ", "))
	}
	if v.kind(key, u) {
		v.belongs(key, u)
	}
	v.upstreamScopes(key, u)
	v.sentences(child(key, "sentences"), u.Sentences)
	v.idempotency(child(key, "idempotency"), u)
	v.dryRuns(child(key, "dry_runs"), u)
	if r := u.Resources; r.Files < 0 || r.Processes < 0 {
		v.fail(child(key, "resources"), "cannot be negative; leave out what is not bounded")
	}
	v.environment(child(key, "env"), u.Env)
	v.headers(child(key, "headers"), u.Headers)
	v.auth(child(key, "auth"), u.Auth)
	if u.Auth != nil && u.Auth.OAuth != nil && u.Kind() == KindOpenAPI {
		v.fail(child(key, "auth.oauth"), "means something only beside url; for a service by its document write secret, exchange or client_credentials")
	}
	switch u.Trust {
	case TrustFirstUse, TrustReviewed, TrustAny:
	default:
		v.fail(child(key, "trust"), "%q is not known; write %s, %s or %s", u.Trust, TrustFirstUse, TrustReviewed, TrustAny)
	}
	v.positive(child(key, "timeout"), u.Timeout)
	v.atLeastOne(child(key, "concurrency"), u.Concurrency)
	v.atLeastOne(child(key, "breaker.failures"), u.Breaker.Failures)
	v.positive(child(key, "breaker.cooldown"), u.Breaker.Cooldown)
	for _, name := range sorted(u.Tools) {
		if t := u.Tools[name]; t == (ToolLimits{}) || t.Concurrency < 0 {
			v.fail(child(child(key, "tools"), name), "needs timeout or concurrency, above zero")
		}
	}
}

func (v *validation) sentences(key string, sentences map[string]string) {
	for _, tool := range sorted(sentences) {
		if _, err := sentence.Parse(sentences[tool]); err != nil {
			v.fail(child(key, tool), "%v", err)
		}
	}
}

func (v *validation) idempotency(key string, u *Upstream) {
	for _, tool := range sorted(u.Idempotency) {
		i, at := u.Idempotency[tool], child(key, tool)
		if i == (Idempotency{}) {
			v.fail(at, "says nothing; write field, header or within, or remove it")
		}
		if i.Within.Duration > MaxWithin {
			v.fail(child(at, "within"), "is longer than %s, for which calls are remembered", MaxWithin)
		}
		if i.Header == "" {
			continue
		}
		if name := http.CanonicalHeaderKey(i.Header); !validHeader(i.Header) || name == "Authorization" || strings.HasPrefix(name, "Mcp-") {
			v.fail(child(at, "header"), "%q cannot carry a key", i.Header)
		}
		if k := u.Kind(); k != KindHTTP && k != KindUnknown {
			v.fail(child(at, "header"), "means something only beside url; remove it")
		}
	}
}

// validHeader reports whether a text is the name of an HTTP header (RFC 9110, token).
func validHeader(name string) bool {
	return name != "" && strings.Trim(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// kind checks that the upstream says exactly once how it is reached, and how.
func (v *validation) kind(key string, u *Upstream) bool {
	switch u.Kind() {
	case KindCommand:
		if u.Command[0] == "" {
			v.fail(child(key, "command"), "has an empty program; write [program, argument, …]")
		}
	case KindHTTP:
		v.webURL(child(key, "url"), u.URL)
		if u.Transport != "" && u.Transport != TransportHTTP && u.Transport != TransportSSE {
			v.fail(child(key, "transport"), "%q is not known; write %s or %s", u.Transport, TransportHTTP, TransportSSE)
		}
	case KindBuiltin:
		v.builtin(key, u)
	case KindOpenAPI:
		v.openAPI(key, u)
	case KindUnknown:
		v.fail(key, "needs exactly one of command, url, openapi and builtin")
		return false
	}
	return true
}

func (v *validation) openAPI(key string, u *Upstream) {
	if strings.Contains(u.OpenAPI, "://") {
		v.webURL(child(key, "openapi"), u.OpenAPI)
	}
	if u.BaseURL != "" {
		v.webURL(child(key, "base_url"), u.BaseURL)
	}
	for list, matches := range map[string][]OperationMatch{"include": u.Operations.Include, "exclude": u.Operations.Exclude} {
		at := child(child(key, "operations"), list)
		for i, m := range matches {
			_, badID := path.Match(m.ID, "")
			_, badPath := path.Match(m.Path, "")
			switch {
			case m == (OperationMatch{}):
				v.fail(item(at, i), "says nothing; write id, tag, method or path")
			case badID != nil || badPath != nil:
				v.fail(item(at, i), "has a pattern that is none; * stands for anything")
			case m.Path != "" && !strings.HasPrefix(m.Path, "/"):
				v.fail(item(at, i), "has a path that does not begin with a slash")
			}
		}
	}
}

func (v *validation) builtin(key string, u *Upstream) {
	switch u.Builtin {
	case BuiltinFiles, BuiltinLedger:
		if u.Dir == "" {
			v.fail(child(key, "dir"), "is needed; name the directory that the %s upstream uses", u.Builtin)
		}
	default:
		v.fail(child(key, "builtin"), "%q is not built in; known are %s and %s", u.Builtin, BuiltinFiles, BuiltinLedger)
	}
}

// belongs refuses the keys that mean nothing for this kind of upstream: a setting
// that does nothing is a mistake somebody relies on.
func (v *validation) belongs(key string, u *Upstream) {
	kind := u.Kind()
	for _, k := range []struct {
		name  string
		given bool
		kinds []Kind
		where string
	}{
		{"env", len(u.Env) > 0, []Kind{KindCommand}, "command"},
		{"resources", u.Resources != Resources{}, []Kind{KindCommand}, "command"},
		{"headers", len(u.Headers) > 0, []Kind{KindHTTP, KindOpenAPI}, "url or openapi"},
		{"auth", u.Auth != nil, []Kind{KindHTTP, KindOpenAPI}, "url or openapi"},
		{"transport", u.Transport != "", []Kind{KindHTTP}, "url"},
		{"base_url", u.BaseURL != "", []Kind{KindOpenAPI}, "openapi"},
		{"operations", len(u.Operations.Include)+len(u.Operations.Exclude) > 0, []Kind{KindOpenAPI}, "openapi"},
		{"dir", u.Dir != "", []Kind{KindCommand, KindBuiltin}, "command or builtin"},
	} {
		if k.given && kind != k.kinds[0] && kind != k.kinds[len(k.kinds)-1] {
			v.fail(child(key, k.name), "means something only beside %s; remove it", k.where)
		}
	}
}

func (v *validation) environment(key string, env map[string]string) {
	for _, name := range sorted(env) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			v.fail(key, "%q is not the name of an environment variable", name)
		case strings.Contains(env[name], "\x00"):
			v.fail(child(key, name), "contains a NUL")
		case isReference(env[name]):
			v.fail(child(key, name), "refers to a secret, and a worker's environment is no place for one; let the command read the file by its path")
		}
	}
}

func (v *validation) headers(key string, headers map[string]Value) {
	for _, name := range sorted(headers) {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization":
			v.fail(child(key, name), "belongs into auth.secret, as a reference")
		case "Host", "Content-Type", "Content-Length", "Accept", "Connection", "Transfer-Encoding", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version":
			v.fail(child(key, name), "is set by the broker itself; remove it")
		}
		if !isToken(name) {
			v.fail(key, "%q is not the name of a header", name)
		}
		if strings.ContainsFunc(headers[name].literal, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			v.fail(child(key, name), "contains control characters")
		}
	}
}

func (v *validation) auth(key string, auth *Auth) {
	if auth == nil {
		return
	}
	given := 0
	for _, is := range []bool{!auth.Secret.IsZero(), auth.Exchange != nil, auth.ClientCredentials != nil, auth.OAuth != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		v.fail(key, "needs exactly one of secret (such as \"env://NAME\" or \"vault://path#field\"), exchange, client_credentials and oauth")
	}
	v.vaulted(child(key, "secret"), auth.Secret, v.config.Vault)
	v.client(child(key, "exchange"), auth.Exchange, true)
	v.client(child(key, "client_credentials"), auth.ClientCredentials, false)
	v.oauth(child(key, "oauth"), auth.OAuth)
	if auth.OAuth != nil && auth.Header != "" {
		v.fail(child(key, "header"), "means nothing beside oauth, whose tokens are bearer tokens; remove it")
	}
	if auth.Header != "" && !isToken(auth.Header) {
		v.fail(child(key, "header"), "is not the name of a header")
	}
}

// client checks a client of the broker at an authorization server.
func (v *validation) client(key string, c *Client, exchanges bool) {
	if c == nil {
		return
	}
	if c.ClientID == "" {
		v.fail(child(key, "client_id"), "is needed")
	}
	if c.ClientSecret.IsZero() {
		v.fail(child(key, "client_secret"), "is needed, as a reference such as \"env://NAME\"")
	}
	v.vaulted(child(key, "client_secret"), c.ClientSecret, v.config.Vault)
	v.tokenEndpoint(key, c)
	switch {
	case !exchanges && c.Fallback != "":
		v.fail(child(key, "fallback"), "means something only in exchange; remove it")
	case c.Fallback != "" && c.Fallback != FallbackRefuse && c.Fallback != FallbackClient:
		v.fail(child(key, "fallback"), "%q is neither %s nor %s", c.Fallback, FallbackRefuse, FallbackClient)
	case exchanges && c.Audience == "" && c.Resource == "":
		v.fail(key, "needs audience or resource: a token for everybody is none for this upstream")
	}
}

func (v *validation) tokenEndpoint(key string, c *Client) {
	known := slices.ContainsFunc(v.config.Issuers, func(i Issuer) bool { return i.URL == c.Issuer })
	switch {
	case c.TokenURL != "" && c.Issuer != "":
		v.fail(key, "has issuer and token_url; keep one")
	case c.TokenURL != "":
		v.webURL(child(key, "token_url"), c.TokenURL)
	case c.Issuer != "" && !known:
		v.fail(child(key, "issuer"), "%q is not among issuers; add it there, or write token_url", c.Issuer)
	case c.Issuer == "" && len(v.config.Issuers) != 1:
		v.fail(key, "needs issuer or token_url: there is not exactly one issuer to ask")
	}
}

// webURL checks the URL of a server that tokens or keys are sent to or taken from.
func (v *validation) webURL(key, text string) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		v.fail(key, "is needed")
	case err != nil || u.Host == "" || u.Hostname() == "":
		v.fail(key, "is not an absolute URL; write one like \"https://host/path\"")
	case u.User != nil:
		v.fail(key, "has a user or password in it; remove it")
	case u.Fragment != "" || strings.Contains(text, "#"):
		v.fail(key, "has a fragment; remove it")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		v.fail(key, "is http to another machine; use https")
	case u.Scheme != "http" && u.Scheme != "https":
		v.fail(key, "has the scheme %q; use https", u.Scheme)
	}
}

// origin checks a URL that is compared byte by byte with the audience of tokens.
func (v *validation) origin(key, text string) {
	before := len(v.problems)
	v.webURL(key, text)
	if len(v.problems) > before {
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		return // webURL has said so
	}
	canonical := u.Scheme + "://" + strings.ToLower(u.Host)
	canonical = strings.TrimSuffix(canonical, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
	if text != canonical {
		v.fail(key, "must be scheme and host alone, in lower case, without a slash at its end; write %q", canonical)
	}
}

// isLoopback tells without asking a name server.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// isToken is RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for _, r := range s {
		alnum := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return false
		}
	}
	return s != ""
}
