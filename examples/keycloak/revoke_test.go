package keycloak_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/login"
)

// What Keycloak does not want any more the broker does not take any more, though the
// token's signature and time are good: it hears of it when it asks, and tells every replica.
func TestWhatKeycloakWithdrawsIsRefused(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	r.configure(t, map[string]string{"every: 10s": "every: 1s, opaque: true"})
	r.start(t)
	r.change(t, "/clients", "clientId", "deed-cli", func(client map[string]any) {
		client["attributes"].(map[string]any)["backchannel.logout.url"] = "" // nobody tells the broker
	})
	bob := r.person(t, "bob", "deed-cli", "tools")
	for _, c := range []struct {
		name     string
		withdraw func(t *testing.T, person, agent *login.Token)
	}{
		{"the agent's token is revoked", func(t *testing.T, _, agent *login.Token) {
			t.Helper()
			r.revoke(t, r.agent("copilot"), agent)
		}},
		{"the person logs out", func(t *testing.T, person, _ *login.Token) {
			t.Helper()
			r.post(t, "/protocol/openid-connect/logout", url.Values{"client_id": {"deed-cli"}, "refresh_token": {string(person.Refresh)}}, nil)
		}},
		{"the person is disabled", func(t *testing.T, _, _ *login.Token) {
			t.Helper()
			r.enable(t, "/users", "username", "alice", false)
		}},
		{"the agent's client is disabled", func(t *testing.T, _, _ *login.Token) {
			t.Helper()
			r.enable(t, "/users", "username", "alice", true)
			r.enable(t, "/clients", "clientId", "copilot", false)
		}},
	} {
		if strings.HasPrefix(c.name, "the agent's client") {
			r.enable(t, "/users", "username", "alice", true)
		}
		person := r.person(t, "alice", "deed-cli", "tools")
		agent := r.acting(t, "copilot", person, "tools")
		if got := r.call(t, agent, "payments__accounts", "{}"); got.status != http.StatusOK {
			t.Fatalf("before %s: %d %s", c.name, got.status, got.body)
		}
		c.withdraw(t, person, agent)
		var got reply
		r.await(t, c.name+" and the agent's call is refused", func() bool {
			got = r.call(t, agent, "payments__accounts", "{}")
			return got.status != http.StatusOK
		})
		if got.status != http.StatusUnauthorized || !strings.Contains(got.challenge, `error="invalid_token", error_description="the token is not in force any more`) {
			t.Errorf("%s: %d %s", c.name, got.status, got.challenge)
		}
		digest := sha256.Sum256([]byte(agent.Access))
		r.await(t, c.name+" and every replica is told", func() bool { return r.stopped(t, bob, "token", hex.EncodeToString(digest[:])) == "introspection" })
	}
	if status, header, _ := r.get(t, "/v1/whoami", "neither-a-JWT-nor-known-to-Keycloak"); status != http.StatusUnauthorized || !strings.Contains(header.Get("WWW-Authenticate"), "not in force any more") {
		t.Errorf("an opaque token that Keycloak does not know: %d %v", status, header)
	}
}

func (r *rig) revoke(t *testing.T, c *login.Client, token *login.Token) {
	t.Helper()
	r.post(t, "/protocol/openid-connect/revoke", url.Values{"token": {string(token.Access)}}, c)
}

// post sends a form to Keycloak, as a client if one is given.
func (r *rig) post(t *testing.T, path string, form url.Values, c *login.Client) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.realm.Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c != nil {
		request.SetBasicAuth(c.ID, string(c.Secret))
	}
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode/100 != 2 {
		t.Fatalf("%s: %d", path, response.StatusCode)
	}
}

// enable switches a user or client, found by the value of a field, on or off.
func (r *rig) enable(t *testing.T, kind, field, value string, enabled bool) {
	t.Helper()
	r.change(t, kind, field, value, func(found map[string]any) { found["enabled"] = enabled })
}

// change changes a user or client, found by the value of a field.
func (r *rig) change(t *testing.T, kind, field, value string, change func(found map[string]any)) {
	t.Helper()
	var found []map[string]any
	r.admin(t, http.MethodGet, kind+"?"+field+"="+url.QueryEscape(value), nil, &found)
	if len(found) != 1 {
		t.Fatalf("%d of %s", len(found), value)
	}
	change(found[0])
	r.admin(t, http.MethodPut, kind+"/"+found[0]["id"].(string), found[0], nil)
}

// A provider's new key is found as soon as a token names it.
func TestANewKeyIsFound(t *testing.T) {
	t.Parallel()
	r := serve(t)
	before := r.person(t, "alice", "deed-cli", "tools")
	r.admin(t, http.MethodPost, "/components", map[string]any{
		"name": "next", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
		"config": map[string][]string{"priority": {"1000"}, "keySize": {"2048"}, "algorithm": {"RS256"}},
	}, nil)
	after := r.person(t, "alice", "deed-cli", "tools")
	if header(before) == header(after) {
		t.Fatal("the key has not changed")
	}
	r.await(t, "the new key is trusted", func() bool {
		status, _, _ := r.get(t, "/v1/whoami", string(after.Access))
		return status == http.StatusOK
	})
	if status, _, body := r.get(t, "/v1/whoami", string(before.Access)); status != http.StatusOK {
		t.Errorf("a token by the old key, which is still published: %d %s", status, body)
	}
}

func header(t *login.Token) string {
	h, _, _ := strings.Cut(string(t.Access), ".")
	return h
}
