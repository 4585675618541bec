package demo

import (
	"crypto/rand"
	"html/template"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// authorization is what a code stands for.
type authorization struct {
	user, clientID, redirect, challenge string
	resource, scope, nonce, session     string
	acr                                 string

	mu     sync.Mutex // guards what follows
	used   bool
	issued *accessClaims // by the code's first use
}

var (
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // S256: RFC 7636 section 4.2
	scopeForm     = regexp.MustCompile(`^[!#-\[\]-~]{1,64}$`) // RFC 6749 appendix A.4
)

const (
	maxText   = 512 // of state and nonce
	maxScopes = 16

	defaultACR = "demo"
)

// serveAuthorize is the authorization endpoint (RFC 6749 section 4.1.1).
func (i *Issuer) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if name := repeated(query); name != "" {
		http.Error(w, "a parameter is given twice: "+name, http.StatusBadRequest)
		return
	}
	c, ok := i.clients[query.Get("client_id")]
	if !ok || !c.mayRedirect(query.Get("redirect_uri")) { // never redirect where nobody registered
		http.Error(w, "unknown client_id, or a redirect_uri that is not registered for it", http.StatusBadRequest)
		return
	}
	if len(query.Get("state")) > maxText || len(query.Get("nonce")) > maxText {
		http.Error(w, "state or nonce is too long", http.StatusBadRequest)
		return
	}
	if problem := i.checkAuthorize(query); problem != nil {
		i.redirect(w, r, url.Values{"error": {problem.code}, "error_description": {problem.why}})
		return
	}
	user := query.Get("login_hint")
	_, known := i.config.Users[user]
	switch {
	case query.Get("prompt") != "none":
		i.showPage(w, query)
	case !known:
		i.redirect(w, r, url.Values{"error": {"login_required"}, "error_description": {"login_hint names nobody"}})
	default:
		i.authorize(w, r, user)
	}
}

func (i *Issuer) checkAuthorize(query url.Values) *oauthError {
	switch {
	case query.Get("response_type") != "code":
		return invalid("unsupported_response_type", "only code is supported")
	case query.Get("state") == "":
		return invalid("invalid_request", "state is required")
	case query.Get("code_challenge_method") != "S256" || !challengeForm.MatchString(query.Get("code_challenge")):
		return invalid("invalid_request", "PKCE with S256 is required")
	}
	if _, problem := i.resource(query); problem != nil {
		return problem
	}
	if acr := strengthOf(query); !scopeForm.MatchString(acr) {
		return invalid("invalid_request", "acr_values has characters that are not allowed, or too many")
	}
	return checkScope(query.Get("scope"))
}

// strengthOf is how strong a login is called: as its client prefers it, since here nobody
// proves anything anyway.
func strengthOf(query url.Values) string {
	if asked := strings.Fields(query.Get("acr_values")); len(asked) > 0 {
		return asked[0]
	}
	return defaultACR
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request, user string) {
	query := r.URL.Query()
	resource, _ := i.resource(query) // checked before
	code := rand.Text()
	kept := i.codes.put(code, &authorization{
		user: user, clientID: query.Get("client_id"), redirect: query.Get("redirect_uri"), challenge: query.Get("code_challenge"),
		resource: resource, scope: query.Get("scope"), nonce: query.Get("nonce"), session: rand.Text(), acr: strengthOf(query),
	}, time.Now().Add(codeLifetime))
	if !kept {
		i.redirect(w, r, url.Values{"error": {"temporarily_unavailable"}, "error_description": {"too many sign-ins at once"}})
		return
	}
	i.redirect(w, r, url.Values{"code": {code}})
}

// redirect answers the client through the browser, with state and iss (RFC 9207).
func (i *Issuer) redirect(w http.ResponseWriter, r *http.Request, answer url.Values) {
	query := r.URL.Query()
	target, err := url.Parse(query.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "redirect_uri is not a URL", http.StatusBadRequest)
		return
	}
	answer.Set("iss", i.config.URL)
	if state := query.Get("state"); state != "" {
		answer.Set("state", state)
	}
	all := target.Query()
	maps.Copy(all, answer)
	target.RawQuery = all.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound) //nolint:gosec // only where the client registered: see mayRedirect
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Sign in - Deed demo</title>
<h1>Who are you today?</h1>
<p>This is the demo issuer at {{.Issuer}}. It asks for no password{{with .Strength}}, and will say that this login is {{.}}{{end}}.</p>
<ul>{{range .Users}}
<li><a href="{{.Link}}">{{.Name}}</a> ({{.Roles}})</li>{{end}}
</ul>
</html>
`))

func (i *Issuer) showPage(w http.ResponseWriter, query url.Values) {
	type choice struct{ Name, Roles, Link string }
	var users []choice
	for _, name := range slices.Sorted(maps.Keys(i.config.Users)) {
		chosen := maps.Clone(query)
		chosen.Set("prompt", "none")
		chosen.Set("login_hint", name)
		users = append(users, choice{name, strings.Join(i.config.Users[name], ", "), "?" + chosen.Encode()})
	}
	var body strings.Builder
	if err := page.Execute(&body, map[string]any{"Issuer": i.config.URL, "Users": users, "Strength": query.Get("acr_values")}); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(body.String())) // the browser may have gone
}

// mayRedirect compares exactly, but for the port where any will do.
func (c client) mayRedirect(to string) bool {
	if slices.Contains(c.redirects, to) {
		return to != ""
	}
	u, err := url.Parse(to)
	if err != nil || !c.anyLoopback {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil || !addr.IsLoopback() || u.Port() == "" {
		return false
	}
	return slices.Contains(c.redirects, strings.Replace(to, ":"+u.Port()+"/", "/", 1))
}

// resource is the audience that is asked for (RFC 8707); audience is RFC 8693's
// word for it.
func (i *Issuer) resource(form url.Values) (string, *oauthError) {
	asked := slices.Concat(form["resource"], form["audience"])
	if len(asked) == 0 {
		return i.config.Resources[0], nil
	}
	known := func(r string) bool { return asked[0] == r || strings.HasPrefix(asked[0], r+"/") } // or a part of it
	if len(asked) > 1 || !slices.ContainsFunc(i.config.Resources, known) {
		return "", invalid("invalid_target", "not one of the resources of this demo")
	}
	return asked[0], nil
}

func checkScope(scope string) *oauthError {
	names := strings.Fields(scope)
	if len(names) > maxScopes {
		return invalid("invalid_scope", "too many scopes")
	}
	for _, name := range names {
		if !scopeForm.MatchString(name) {
			return invalid("invalid_scope", "a scope has characters that are not allowed")
		}
	}
	return nil
}

// repeated names a parameter that is given twice (RFC 6749 section 3.1).
func repeated(form url.Values) string {
	for name, values := range form {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return name
		}
	}
	return ""
}
