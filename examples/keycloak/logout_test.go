package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/deedbroker/deed/agents/login"
)

// Keycloak tells the broker of a session that ends, which then refuses all tokens that came
// of it: nobody asks Keycloak about them here.
func TestALogoutAtKeycloakStopsTheSessionAtOnce(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	r.configure(t, map[string]string{"every: 10s": "every: 1h"})
	r.start(t)
	bob := r.person(t, "bob", "deed-cli", "tools")
	for name, c := range map[string]struct {
		client string // that alice logs in to
		end    func(t *testing.T, person *login.Token)
	}{
		"the person logs out": {"deed-cli", func(t *testing.T, person *login.Token) {
			t.Helper()
			r.post(t, "/protocol/openid-connect/logout", url.Values{"client_id": {"deed-cli"}, "refresh_token": {string(person.Refresh)}}, nil)
		}},
		"the person logs out of their copilot": {"desktop", func(t *testing.T, person *login.Token) {
			t.Helper()
			r.post(t, "/protocol/openid-connect/logout", url.Values{"client_id": {"desktop"}, "refresh_token": {string(person.Refresh)}}, nil)
		}},
		"an administrator ends the session": {"deed-cli", func(t *testing.T, person *login.Token) {
			t.Helper()
			r.admin(t, http.MethodDelete, "/sessions/"+claim(t, person, "sid"), nil, nil)
		}},
		"an administrator ends all that the person has": {"deed-cli", func(t *testing.T, person *login.Token) {
			t.Helper()
			r.admin(t, http.MethodPost, "/users/"+claim(t, person, "sub")+"/logout", nil, nil)
		}},
	} {
		person := r.person(t, "alice", c.client, "tools")
		tokens := map[string]*login.Token{"the person's": person}
		if c.client == "deed-cli" {
			tokens["copilot's"] = r.acting(t, "copilot", person, "tools")
			tokens["sub-agent's"] = r.acting(t, "sub-agent", tokens["copilot's"], "tools")
		}
		for whose, token := range tokens {
			if got := r.call(t, token, "payments__accounts", "{}"); got.status != http.StatusOK || got.Result.IsError {
				t.Fatalf("before %s, %s: %d %s", name, whose, got.status, got.body)
			}
		}
		c.end(t, person)
		r.await(t, name, func() bool { return r.stopped(t, bob, "session", claim(t, person, "sid")) == "backchannel_logout" })
		for whose, token := range tokens {
			got := r.call(t, token, "payments__accounts", "{}")
			if got.status != http.StatusUnauthorized || !strings.Contains(got.challenge, `error="invalid_token", error_description="the token has been revoked`) {
				t.Errorf("%s, %s: %d %s %s", name, whose, got.status, got.challenge, got.body)
			}
		}
	}
	if got := r.call(t, r.person(t, "alice", "deed-cli", "tools"), "payments__accounts", "{}"); got.status != http.StatusOK {
		t.Errorf("alice logs in anew: %d %s", got.status, got.body)
	}
	if got := r.call(t, bob, "payments__accounts", "{}"); got.status != http.StatusOK {
		t.Errorf("bob, who stayed: %d %s", got.status, got.body)
	}
}

// stopped is by which channel something was revoked; empty if it is not.
func (r *rig) stopped(t *testing.T, by *login.Token, kind, value string) string {
	t.Helper()
	status, _, body := r.get(t, "/v1/revocations", string(by.Access))
	var list struct {
		Items []struct {
			Kind   string `json:"kind"`
			Value  string `json:"value"`
			Issuer string `json:"issuer"`
			Via    string `json:"via"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	for _, one := range list.Items {
		if one.Kind == kind && one.Value == value && one.Issuer == r.realm.Issuer {
			return one.Via
		}
	}
	return ""
}

// claim is one of a token's, which has just come from Keycloak.
func claim(t *testing.T, token *login.Token, name string) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(string(token.Access), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	value, _ := claims[name].(string)
	return value
}
