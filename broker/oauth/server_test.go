package oauth_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// world is an upstream and the authorization server that it trusts, both of which a test may spoil.
type world struct {
	upstream, issuer *httptest.Server

	mu        sync.Mutex
	resource  map[string]any    // guarded by mu; metadata of the upstream
	server    map[string]any    // guarded by mu; metadata of the authorization server
	wants     []string          // guarded by mu; scopes without which the upstream refuses
	challenge string            // guarded by mu; instead of the upstream's own
	life      int               // guarded by mu; seconds, of tokens
	ended     bool              // guarded by mu; refresh tokens are good no more
	norefresh bool              // guarded by mu; none are given
	iss       string            // guarded by mu; instead of the issuer, in redirects
	paths     []string          // guarded by mu; that were asked for at both
	forms     []url.Values      // guarded by mu; that the token endpoint was sent
	valid     map[string]string // guarded by mu; scopes by access token
	refresh   string            // guarded by mu; the one that is good
	codes     map[string]url.Values
	n         int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{life: 3600, valid: map[string]string{}, codes: map[string]url.Values{}}
	w.upstream, w.issuer = httptest.NewServer(http.HandlerFunc(w.serveUpstream)), httptest.NewServer(http.HandlerFunc(w.serveIssuer))
	t.Cleanup(w.upstream.Close)
	t.Cleanup(w.issuer.Close)
	w.resource = map[string]any{"resource": w.url(), "authorization_servers": []string{w.issuer.URL}, "scopes_supported": []string{"read"}}
	w.server = map[string]any{
		"issuer": w.issuer.URL, "authorization_endpoint": w.issuer.URL + "/authorize", "token_endpoint": w.issuer.URL + "/token",
		"registration_endpoint": w.issuer.URL + "/register", "code_challenge_methods_supported": []string{"S256"},
		"authorization_response_iss_parameter_supported": true, "token_endpoint_auth_methods_supported": []string{"client_secret_post"},
		"scopes_supported": []string{"read", "offline_access"},
	}
	return w
}

func (w *world) url() string { return w.upstream.URL + "/mcp" }

// with changes the world.
func (w *world) with(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// asked is what was asked for at both servers.
func (w *world) asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.paths)
}

// granted is how often tokens were asked for by a kind of grant.
func (w *world) granted(grant string) (n int, last url.Values) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, form := range w.forms {
		if form.Get("grant_type") == grant {
			n, last = n+1, form
		}
	}
	return n, last
}

func (w *world) serveUpstream(to http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/.well-known/") {
		w.paths = append(w.paths, r.URL.Path)
		if r.URL.Path == "/.well-known/oauth-protected-resource/mcp" && w.resource != nil {
			answer(to, http.StatusOK, w.resource)
			return
		}
		http.NotFound(to, r)
		return
	}
	scopes, ok := w.valid[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	challenge := w.challenge
	switch {
	case !ok:
		if challenge == "" {
			challenge = `Bearer resource_metadata="` + w.upstream.URL + `/.well-known/oauth-protected-resource/mcp"`
		}
		to.Header().Set("WWW-Authenticate", challenge)
		to.WriteHeader(http.StatusUnauthorized)
	case slices.ContainsFunc(w.wants, func(s string) bool { return !slices.Contains(strings.Fields(scopes), s) }):
		to.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="`+strings.Join(w.wants, " ")+`"`)
		to.WriteHeader(http.StatusForbidden)
	default:
		_, _ = fmt.Fprint(to, "done")
	}
}

func (w *world) serveIssuer(to http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paths = append(w.paths, r.URL.Path)
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		answer(to, http.StatusOK, w.server)
	case "/register":
		answer(to, http.StatusCreated, map[string]any{"client_id": "registered", "client_secret": "s3cret", "token_endpoint_auth_method": "client_secret_post"})
	case "/authorize":
		w.authorize(to, r)
	case "/token":
		_ = r.ParseForm()
		w.forms = append(w.forms, maps.Clone(r.PostForm))
		w.token(to, r.PostForm)
	default:
		http.NotFound(to, r)
	}
}

func (w *world) authorize(to http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	w.n++
	code := fmt.Sprintf("code-%d", w.n)
	w.codes[code] = asked
	back := url.Values{"code": {code}, "state": {asked.Get("state")}, "iss": {w.issuer.URL}}
	if w.iss != "" {
		back.Set("iss", w.iss)
	}
	http.Redirect(to, r, asked.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (w *world) token(to http.ResponseWriter, form url.Values) {
	scope := form.Get("scope")
	switch form.Get("grant_type") {
	case "authorization_code":
		asked := w.codes[form.Get("code")]
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || asked.Get("resource") != form.Get("resource") {
			answer(to, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		scope = asked.Get("scope")
	case "refresh_token":
		if w.ended || form.Get("refresh_token") != w.refresh {
			answer(to, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "words of a stranger"})
			return
		}
		scope = "read"
	}
	w.n++
	access := fmt.Sprintf("access-%d", w.n)
	w.valid[access], w.refresh = scope, fmt.Sprintf("refresh-%d", w.n)
	said := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": w.life, "scope": scope}
	if form.Get("grant_type") != "client_credentials" && !w.norefresh {
		said["refresh_token"] = w.refresh
	}
	answer(to, http.StatusOK, said)
}

func answer(to http.ResponseWriter, status int, body any) {
	to.Header().Set("Content-Type", "application/json")
	to.WriteHeader(status)
	_ = json.NewEncoder(to).Encode(body) // a client that has gone
}
