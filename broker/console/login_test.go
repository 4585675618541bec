package console_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/console"
)

// bob is who logs in as bob at the issuer.
func bob(t *testing.T, s *stack) *agents.Identity {
	t.Helper()
	id := brokertest.Person("bob", "lead")
	id.Issuer = s.issuer.URL()
	return id
}

// visitor is a browser without a page: cookies, and redirects that it looks at.
type visitor struct {
	t      *testing.T
	client *http.Client
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &visitor{t: t, client: &http.Client{
		Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (v *visitor) do(method, address string, header http.Header) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, address, nil)
	must(v.t, err)
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	response, err := v.client.Do(r)
	must(v.t, err)
	body, err := io.ReadAll(response.Body)
	must(v.t, errors.Join(err, response.Body.Close()))
	return response, string(body)
}

func (v *visitor) get(address string) (*http.Response, string) {
	v.t.Helper()
	return v.do(http.MethodGet, address, nil)
}

// begin starts a login and chooses somebody at the issuer; it returns the way back.
func (v *visitor) begin(s *stack, who, query string) string {
	v.t.Helper()
	response, _ := v.get(s.url + "/login" + query)
	to, err := response.Location()
	must(v.t, err)
	choose := to.Query()
	if choose.Get("resource") != s.url+"/mcp" || choose.Get("code_challenge_method") != "S256" || choose.Get("nonce") == "" || choose.Get("client_id") != console.DefaultClientID {
		v.t.Fatalf("authorization request is %s", to)
	}
	choose.Set("prompt", "none")
	choose.Set("login_hint", who)
	to.RawQuery = choose.Encode()
	response, _ = v.get(to.String())
	back, err := response.Location()
	must(v.t, err)
	return back.String()
}

func (v *visitor) whoami(s *stack) int {
	v.t.Helper()
	response, _ := v.get(s.url + "/v1/whoami")
	return response.StatusCode
}

func cookieNamed(r *http.Response, name string) *http.Cookie {
	for _, c := range r.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestALoginOfSomeStrengthIsAskedFor(t *testing.T) {
	t.Parallel()
	s, v := start(t), newVisitor(t)
	response, _ := v.get(s.url + "/login?acr=gold&next=%2Fcalls%2F1")
	to, err := response.Location()
	must(t, err)
	if to.Query().Get("acr_values") != "gold" {
		t.Errorf("authorization request is %s", to)
	}
	if response, _ := v.get(s.url + "/login?acr=" + strings.Repeat("x", 200)); response.StatusCode != http.StatusBadRequest {
		t.Errorf("a name that is none: %d", response.StatusCode)
	}
}

func TestAPersonLogsInAndOut(t *testing.T) {
	t.Parallel()
	s, v := start(t), newVisitor(t)
	if got := v.whoami(s); got != http.StatusUnauthorized {
		t.Fatalf("a stranger gets %d", got)
	}
	response, body := v.get(v.begin(s, "bob", "?next=%23/calls/1"))
	if response.StatusCode != http.StatusOK || !strings.Contains(body, `content="0;url=/#/calls/1"`) {
		t.Fatalf("callback answers %d: %s", response.StatusCode, body)
	}
	c := cookieNamed(response, "deed_session")
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || len(c.Value) != 43 {
		t.Errorf("session cookie is %v", c)
	}
	if c := cookieNamed(response, "deed_login"); c == nil || c.MaxAge >= 0 {
		t.Errorf("login cookie is left: %v", c)
	}
	if got := v.whoami(s); got != http.StatusOK {
		t.Fatalf("bob gets %d", got)
	}
	for name, header := range map[string]http.Header{
		"another site": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, "nobody knows who": {},
	} {
		if response, _ := v.do(http.MethodPost, s.url+"/logout", header); response.StatusCode != http.StatusForbidden {
			t.Errorf("logout by %s: got %d", name, response.StatusCode)
		}
	}
	if response, _ := v.get(s.url + "/logout"); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("logout by a link: got %d", response.StatusCode)
	}
	if response, _ := v.do(http.MethodPost, s.url+"/logout", http.Header{"Sec-Fetch-Site": {"same-origin"}}); response.StatusCode != http.StatusSeeOther {
		t.Errorf("logout: got %d", response.StatusCode)
	}
	if got := v.whoami(s); got != http.StatusUnauthorized {
		t.Errorf("after the logout: got %d", got)
	}
}

func TestAnswersToOtherLoginsAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	change := func(name, value string) func(url.Values) { return func(q url.Values) { q.Set(name, value) } }
	tests := map[string]struct {
		change func(url.Values)
		status int
		says   string
	}{
		"another state":      {change("state", "forged"), http.StatusBadRequest, "not the answer"},
		"no state":           {func(q url.Values) { q.Del("state") }, http.StatusBadRequest, "not the answer"},
		"another issuer":     {change("iss", "https://evil.example"), http.StatusBadRequest, "another issuer"},
		"no issuer":          {func(q url.Values) { q.Del("iss") }, http.StatusBadRequest, "another issuer"},
		"another code":       {change("code", "forged"), http.StatusBadGateway, "did not complete"},
		"no code":            {func(q url.Values) { q.Del("code") }, http.StatusBadRequest, "not complete"},
		"the issuer refused": {change("error", "access_denied<script>"), http.StatusForbidden, "did not log you in"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t)
			back, err := url.Parse(v.begin(s, "bob", ""))
			must(t, err)
			q := back.Query()
			tt.change(q)
			back.RawQuery = q.Encode()
			response, body := v.get(back.String())
			if response.StatusCode != tt.status || !strings.Contains(body, tt.says) || strings.Contains(body, "<script>") {
				t.Errorf("got %d: %s", response.StatusCode, body)
			}
			if cookieNamed(response, "deed_session") != nil || v.whoami(s) != http.StatusUnauthorized {
				t.Error("somebody is logged in")
			}
		})
	}
}

func TestALoginBelongsToItsBrowserAndCountsOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	v, thief := newVisitor(t), newVisitor(t)
	back := v.begin(s, "bob", "")
	if response, _ := thief.get(back); response.StatusCode != http.StatusBadRequest || thief.whoami(s) != http.StatusUnauthorized {
		t.Errorf("another browser with the answer gets %d", response.StatusCode)
	}
	thief.begin(s, "alice", "") // has a login of its own under way
	if response, _ := thief.get(back); response.StatusCode != http.StatusBadRequest {
		t.Errorf("another login with the answer gets %d", response.StatusCode)
	}
	if response, _ := v.get(back); response.StatusCode != http.StatusOK {
		t.Errorf("bob gets %d", response.StatusCode)
	}
	if response, _ := v.get(back); response.StatusCode != http.StatusBadRequest {
		t.Errorf("the same answer again gets %d", response.StatusCode)
	}
}

func TestALoginGoesOnOnlyWithinThePage(t *testing.T) {
	t.Parallel()
	s := start(t)
	for next, want := range map[string]string{
		"#/live?q=a b":           `0;url=/#/live?q=a%20b"`,
		"/calls/1":               `0;url=/#/calls/1"`,
		"https://evil.example/":  `0;url=/"`,
		"//evil.example":         `0;url=/#//evil.example"`,
		`#/"><script>`:           `0;url=/#/%22%3E%3Cscript%3E"`,
		"#x":                     `0;url=/"`,
		strings.Repeat("/", 600): `0;url=/"`,
	} {
		v := newVisitor(t)
		_, body := v.get(v.begin(s, "bob", "?next="+url.QueryEscape(next)))
		if !strings.Contains(body, want) {
			t.Errorf("next=%s: got %s", next, body)
		}
	}
}

// anyone verifies every token as one identity.
type anyone struct{ *agents.Identity }

func (a anyone) Verify(context.Context, agents.Credential) (*agents.Identity, error) {
	if a.Identity == nil {
		return nil, &agents.Rejection{Kind: agents.WrongAudience}
	}
	return a.Identity, nil
}

func TestOnlyPeopleOfTheIssuerThatWasAskedLogIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	agent, stranger, late := brokertest.Through(bob(t, s), "copilot"), brokertest.Person("bob"), bob(t, s)
	late.Expires = time.Now().Add(-time.Second)
	for says, c := range map[string]struct {
		id   *agents.Identity
		kind agents.Kind
	}{
		"has an agent in it": {agent, agents.NotAPerson}, "another issuer": {stranger, agents.UnknownIssuer},
		"has expired": {late, agents.Expired}, "another audience": {nil, agents.WrongAudience},
	} {
		id, kind := c.id, c.kind
		var rejected []agents.Kind
		c, err := console.New(console.Config{
			URL: s.url, Issuers: []string{s.issuer.URL()}, Verifier: anyone{id}, Logger: slog.New(slog.DiscardHandler),
			Reject: func(_ context.Context, r *agents.Rejection) { rejected = append(rejected, r.Kind) },
		})
		must(t, err)
		began := httptest.NewRecorder()
		c.ServeHTTP(began, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/login", nil))
		v := newVisitor(t)
		response, _ := v.get(began.Header().Get("Location") + "&prompt=none&login_hint=bob")
		back := httptest.NewRequestWithContext(t.Context(), http.MethodGet, response.Header.Get("Location"), nil)
		back.AddCookie(began.Result().Cookies()[0])
		w := httptest.NewRecorder()
		c.ServeHTTP(w, back)
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), says) || cookieNamed(w.Result(), "deed_session") != nil {
			t.Errorf("%s: got %d %s", says, w.Code, w.Body)
		}
		if !slices.Equal(rejected, []agents.Kind{kind}) {
			t.Errorf("%s: %q were counted", says, rejected)
		}
	}
}

func TestWithSeveralIssuersOneChooses(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, err := console.New(console.Config{
		URL: "https://deed.example", Issuers: []string{s.issuer.URL(), "http://127.0.0.1:1/<b>"}, Verifier: s.verifier, Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	get := func(target string) *http.Response {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		return w.Result()
	}
	body, err := io.ReadAll(get("/login?next=%2Flive").Body)
	must(t, err)
	if !strings.Contains(string(body), "/login?issuer="+url.QueryEscape(s.issuer.URL())+"&amp;next=%2Flive") || strings.Contains(string(body), "<b>") {
		t.Errorf("choice is %s", body)
	}
	if got := get("/login?issuer=https%3A%2F%2Fevil.example").StatusCode; got != http.StatusBadRequest {
		t.Errorf("an unknown issuer: got %d", got)
	}
	if got := get("/login?issuer=" + url.QueryEscape("http://127.0.0.1:1/<b>")).StatusCode; got != http.StatusBadGateway {
		t.Errorf("an issuer that is away: got %d", got)
	}
	r := get("/login?issuer=" + url.QueryEscape(s.issuer.URL()))
	login := cookieNamed(r, "__Host-deed-login")
	if r.StatusCode != http.StatusSeeOther || login == nil || !login.Secure || !login.HttpOnly || login.SameSite != http.SameSiteLaxMode || login.Domain != "" {
		t.Errorf("got %d with cookie %v", r.StatusCode, login)
	}
}

func TestFilesAreServedStrictly(t *testing.T) {
	t.Parallel()
	s, v := start(t), newVisitor(t)
	for path, mediaType := range map[string]string{
		"/": "text/html; charset=utf-8", "/assets/app.js": "text/javascript; charset=utf-8", "/assets/views/card.js": "text/javascript; charset=utf-8",
		"/assets/app.css": "text/css; charset=utf-8", "/assets/icon.svg": "image/svg+xml",
	} {
		response, _ := v.get(s.url + path)
		h := response.Header
		if response.StatusCode != http.StatusOK || h.Get("Content-Type") != mediaType {
			t.Errorf("%s: got %d, %s", path, response.StatusCode, h.Get("Content-Type"))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache",
		} {
			if !strings.HasPrefix(h.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: policy is %s", path, h.Get("Content-Security-Policy"))
		}
		again, body := v.do(http.MethodGet, s.url+path, http.Header{"If-None-Match": {h.Get("Etag")}})
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s: asked again, got %d", path, again.StatusCode)
		}
	}
	for _, path := range []string{"/assets/", "/assets", "/nothing", "/assets/../doc.go", "/assets/index.html"} {
		if response, _ := v.get(s.url + path); response.StatusCode == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := console.Config{URL: "https://deed.example", Issuers: []string{"https://idp.example"}, Verifier: anyone{}, Logger: slog.New(slog.DiscardHandler)}
	if _, err := console.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*console.Config){
		"no url": func(c *console.Config) { c.URL = "" }, "a path": func(c *console.Config) { c.URL += "/x" }, "ftp": func(c *console.Config) { c.URL = "ftp://deed.example" },
		"no issuers": func(c *console.Config) { c.Issuers = nil }, "no verifier": func(c *console.Config) { c.Verifier = nil },
		"no logger": func(c *console.Config) { c.Logger = nil }, "less than no sessions": func(c *console.Config) { c.MaxSessions = -1 },
	} {
		c := good
		spoil(&c)
		if _, err := console.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
