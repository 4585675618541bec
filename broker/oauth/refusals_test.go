package oauth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/oauth"
	"github.com/deedbroker/deed/tools/web"
)

// Whatever an upstream or an authorization server says of itself, a login that is not safe fails
// before any code or token is asked for.
func TestALoginIsRefused(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked for elsewhere", r.URL.Path)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(elsewhere.Close)
	for name, row := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"the metadata of another resource":       {func(w *world) { w.resource["resource"] = "https://evil.example/mcp" }, "another resource"},
		"of the origin, at the path":             {func(w *world) { w.resource["resource"] = w.upstream.URL }, "another resource"},
		"of nobody's authorization server":       {func(w *world) { w.resource["authorization_servers"] = []string{} }, "no authorization server"},
		"an issuer over http elsewhere":          {func(w *world) { w.resource["authorization_servers"] = []string{"http://idp.example"} }, "neither https"},
		"an issuer that is no URL":               {func(w *world) { w.resource["authorization_servers"] = []string{"file:///etc/passwd"} }, "cannot be used"},
		"metadata inside the network":            {func(w *world) { w.challenge = `Bearer resource_metadata="http://169.254.169.254/latest/meta-data"` }, "neither https"},
		"metadata at a private address":          {func(w *world) { w.challenge = `Bearer resource_metadata="https://10.0.0.1/x"` }, "not a public address"},
		"the metadata of another issuer":         {func(w *world) { w.server["issuer"] = "https://evil.example" }, "another issuer"},
		"of the issuer with a slash":             {func(w *world) { w.server["issuer"] = w.issuer.URL + "/" }, "another issuer"},
		"no PKCE":                                {func(w *world) { delete(w.server, "code_challenge_methods_supported") }, "S256"},
		"plain PKCE alone":                       {func(w *world) { w.server["code_challenge_methods_supported"] = []string{"plain"} }, "S256"},
		"a token endpoint inside the network":    {func(w *world) { w.server["token_endpoint"] = "http://10.0.0.1/token" }, "neither https"},
		"an authorization endpoint that is code": {func(w *world) { w.server["authorization_endpoint"] = "javascript:alert(1)" }, "cannot be used"},
		"a registration endpoint elsewhere":      {func(w *world) { w.server["registration_endpoint"] = "http://evil.example/" }, "neither https"},
		"no registration":                        {func(w *world) { delete(w.server, "registration_endpoint") }, "client_id"},
		"metadata without end":                   {func(w *world) { w.server["more"] = strings.Repeat("x", 2<<20) }, "read metadata"},
		"the answer of another issuer":           {func(w *world) { w.iss = "https://evil.example" }, "another issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.with(func() { row.spoil(w) })
			_, err := login(t, w.client(t, t.TempDir(), nil))
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("it says %v", err)
			}
			if n, _ := w.granted("authorization_code"); n != 0 {
				t.Error("a code was redeemed")
			}
		})
	}
}

// Redirects lead nowhere: neither metadata nor secrets are taken or sent along.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	evil := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	t.Cleanup(evil.Close)
	w := newWorld(t)
	hop := httptest.NewServer(http.RedirectHandler(evil.URL, http.StatusTemporaryRedirect))
	t.Cleanup(hop.Close)
	w.with(func() { w.challenge = `Bearer resource_metadata="` + hop.URL + `/m"` })
	if _, err := login(t, w.client(t, t.TempDir(), nil)); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("metadata: %v", err)
	}
	w.with(func() { w.challenge, w.server["token_endpoint"] = "", hop.URL+"/t" })
	if _, err := login(t, w.client(t, t.TempDir(), nil)); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("token: %v", err)
	}
}

// An issuer that the operator has named is used if the upstream trusts it, and no other.
func TestTheIssuerThatIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.with(func() { w.resource["authorization_servers"] = []string{"https://other.example", w.issuer.URL + "/"} })
	now, err := login(t, w.client(t, t.TempDir(), func(c *oauth.Config) { c.Issuer = w.issuer.URL }))
	if err != nil || now.Issuer != w.issuer.URL {
		t.Errorf("%+v, %v", now, err)
	}
	_, err = login(t, w.client(t, t.TempDir(), func(c *oauth.Config) { c.Issuer = "https://third.example" }))
	if err == nil || !strings.Contains(err.Error(), "does not name the issuer") {
		t.Errorf("it says %v", err)
	}
}

// A token is for the upstream that it was gotten for: not for another host, nor for another URL
// under the same name. The caller's own goes nowhere.
func TestATokenIsForOneUpstream(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	c := w.client(t, dir, nil)
	needs(t, c, w)
	mustLogin(t, c)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if shown := r.Header.Get("Authorization"); shown != "" {
			t.Errorf("another server is shown %s", shown)
		}
	}))
	t.Cleanup(other.Close)
	if _, _, err := use(t, c, other.URL); !errors.Is(err, web.ErrRedirected) {
		t.Errorf("another host is sent to: %v", err)
	}
	moved := w.client(t, dir, func(c *oauth.Config) { c.URL = other.URL + "/mcp" })
	if status, _, err := use(t, moved, other.URL+"/mcp"); err != nil || status != http.StatusOK {
		t.Errorf("HTTP %d, %v", status, err)
	}
	w.works(t, c)
	w.with(func() {
		if _, shown := w.valid["the-callers-own"]; shown {
			t.Error("the caller's token is good")
		}
	})
}

// An error of a token endpoint is told by its code alone, and a server that is away ends no consent.
func TestWordsOfStrangersAreNotPassedOn(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	c := w.client(t, dir, nil)
	needs(t, c, w)
	mustLogin(t, c)
	age(t, dir)
	w.with(func() { w.server["issuer"] = "https://evil.example" })
	_, _, err := use(t, w.client(t, dir, nil), w.url())
	if err == nil || strings.Contains(err.Error(), "deed upstreams login") || strings.Contains(err.Error(), "evil") {
		t.Errorf("it says %v", err)
	}
	w.with(func() { w.server["issuer"], w.ended = w.issuer.URL, true })
	if e := asksFor(t, w.client(t, dir, nil), w); strings.Contains(e.Error(), "stranger") {
		t.Errorf("it says %v", e)
	}
}

// The secret of a client that was registered beforehand is for the authorization server that was shown it
// first: an upstream that names another gets nothing for that.
func TestASecretIsForOneAuthorizationServer(t *testing.T) {
	t.Parallel()
	for name, credentials := range map[string]bool{"code": false, "client credentials": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, thief, dir := newWorld(t), newWorld(t), t.TempDir()
			registered := func(c *oauth.Config) { c.Credentials, c.ClientID, c.Secret = credentials, "deed", secret("hush") }
			get := func(c *oauth.Client) error {
				if !credentials {
					_, err := login(t, c)
					return err
				}
				_, _, err := use(t, c, w.url())
				return err
			}
			if err := get(w.client(t, dir, registered)); err != nil {
				t.Fatal(err)
			}
			w.with(func() {
				w.resource["authorization_servers"] = []string{thief.issuer.URL}
				clear(w.valid)
			})
			if err := get(w.client(t, dir, registered)); err == nil || !strings.Contains(err.Error(), "auth.oauth.issuer") {
				t.Errorf("it says %v", err)
			}
			thief.with(func() {
				if len(thief.forms) > 0 {
					t.Errorf("it was shown %v", thief.forms)
				}
			})
		})
	}
}
