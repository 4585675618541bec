package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/agentstest"
)

// logout posts a logout token as an issuer does.
func (r *running) logout(t *testing.T, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url()+"/backchannel-logout", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// logoutClaims are those of a logout token for the console.
func (r *running) logoutClaims(jti string, more agentstest.Claims) agentstest.Claims {
	now := time.Now()
	return agentstest.Claims{
		"iss": r.issuer.URL, "aud": "console", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": jti,
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}.With(more)
}

func TestALogoutAtTheIssuerStopsTheSessionAndItsAgents(t *testing.T) {
	t.Parallel()
	r := newRig(t).start(t)
	typ := agentstest.Claims{"typ": "logout+jwt"}
	good := r.logoutClaims("l-1", agentstest.Claims{"sid": "s-1", "sub": "alice"})
	for name, token := range map[string]string{
		"another type":     r.issuer.TokenWith(agentstest.Claims{"typ": "at+jwt"}, good.With(agentstest.Claims{"jti": "a"})),
		"a stranger's":     r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "b", "aud": "stranger"})),
		"the API itself":   r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "c", "aud": r.url() + "/mcp"})),
		"with a nonce":     r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "d", "nonce": "n"})),
		"another event":    r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "e", "events": map[string]any{"x": map[string]any{}}})),
		"no event":         r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "f", "events": nil})),
		"nobody":           r.issuer.TokenWith(typ, r.logoutClaims("g", nil)),
		"no id":            r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": ""})),
		"expired":          r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "h", "iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(-time.Minute).Unix()})),
		"another issuer":   r.issuer.TokenWith(typ, good.With(agentstest.Claims{"jti": "i", "iss": "https://evil.example"})),
		"an access token":  r.agent("s-1"),
		"no token at all":  "",
		"a forged one":     r.issuer.TokenWith(typ, good) + "x",
		"an object of one": "{}",
	} {
		if code := r.logout(t, token); code != http.StatusBadRequest {
			t.Errorf("%s: HTTP %d", name, code)
		}
	}
	if code, _ := r.get(t, "/v1/whoami", r.agent("s-1")); code != http.StatusOK {
		t.Fatalf("before the logout the agent gets HTTP %d", code)
	}
	token := r.issuer.TokenWith(typ, good)
	if code := r.logout(t, token); code != http.StatusOK {
		t.Fatalf("the logout is answered by HTTP %d", code)
	}
	if code := r.logout(t, token); code != http.StatusBadRequest {
		t.Errorf("used again it is answered by HTTP %d", code)
	}
	if code, _ := r.get(t, "/v1/whoami", r.agent("s-1")); code != http.StatusUnauthorized {
		t.Errorf("after it an agent's exchanged token gets HTTP %d", code)
	}
	if code, _ := r.get(t, "/v1/whoami", r.agent("s-2")); code != http.StatusOK {
		t.Errorf("after it another session gets HTTP %d", code)
	}
	all := r.issuer.TokenWith(typ, r.logoutClaims("l-2", agentstest.Claims{"sub": "alice"}))
	if code := r.logout(t, all); code != http.StatusOK {
		t.Fatalf("the logout of all sessions is answered by HTTP %d", code)
	}
	if code, _ := r.get(t, "/v1/whoami", r.agent("s-2")); code != http.StatusUnauthorized {
		t.Errorf("after it all, a token gets HTTP %d", code)
	}
	later := r.issuer.Token(r.issuer.PersonClaims("alice", "console", "support").With(agentstest.Claims{"iat": time.Now().Add(30 * time.Second).Unix()}))
	if code, body := r.get(t, "/v1/whoami", later); code != http.StatusOK {
		t.Errorf("a login after it gets HTTP %d: %s", code, body)
	}
}
