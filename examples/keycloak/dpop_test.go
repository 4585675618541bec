package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

// A token that Keycloak has bound to an agent's key is good with a proof by that key, and
// of no use to whoever stole it.
func TestABoundTokenOfKeycloakNeedsItsKey(t *testing.T) {
	t.Parallel()
	r := serve(t)
	key := agentstest.NewKey(t, "ES256")
	token := r.bound(t, key)
	send := func(scheme, proof string) (int, string) {
		header := http.Header{"Authorization": {scheme + " " + token}}
		if proof != "" {
			header.Set("DPoP", proof)
		}
		status, answered, _ := r.do(t, http.MethodGet, "/v1/whoami", "", "", header)
		return status, answered.Get("WWW-Authenticate")
	}
	proof := key.Proof(http.MethodGet, r.url+"/v1/whoami", token, nil)
	if status, challenge := send("DPoP", proof); status != http.StatusOK {
		t.Errorf("with a proof: %d %s", status, challenge)
	}
	for name, c := range map[string][2]string{
		"as a plain bearer token":   {"Bearer", ""},
		"with the same proof again": {"DPoP", proof},
		"with a thief's proof":      {"DPoP", agentstest.NewKey(t, "ES256").Proof(http.MethodGet, r.url+"/v1/whoami", token, nil)},
	} {
		if status, challenge := send(c[0], c[1]); status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "DPoP ") {
			t.Errorf("%s: %d %s", name, status, challenge)
		}
	}
}

// Where a nonce is asked for, a proof that one broker accepted is useless at another.
func TestANonceKeepsAProofFromOtherReplicas(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	r.configure(t, map[string]string{"people_clients:": "dpop_nonce: true\n    people_clients:"})
	r.start(t)
	key := agentstest.NewKey(t, "ES256")
	token := r.bound(t, key)
	send := func(proof string) (status int, challenge, nonce string) {
		status, answered, _ := r.do(t, http.MethodGet, "/v1/whoami", "", "", http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}})
		return status, answered.Get("WWW-Authenticate"), answered.Get(agents.NonceHeader)
	}
	with := func(nonce string) string {
		return key.Proof(http.MethodGet, r.url+"/v1/whoami", token, agentstest.Claims{"nonce": nonce})
	}
	status, challenge, nonce := send(with(""))
	if status != http.StatusUnauthorized || !strings.Contains(challenge, `error="use_dpop_nonce"`) || nonce == "" {
		t.Fatalf("without a nonce: %d %s", status, challenge)
	}
	proof := with(nonce)
	if status, challenge, _ := send(proof); status != http.StatusOK {
		t.Errorf("with the nonce: %d %s", status, challenge)
	}
	r.stop()
	r.start(t) // with nothing in its memory
	if status, challenge, _ := send(proof); status != http.StatusUnauthorized || !strings.Contains(challenge, `error="use_dpop_nonce"`) {
		t.Errorf("the same proof at the next broker: %d %s", status, challenge)
	}
}

// bound is copilot's own token, bound to a key.
func (r *rig) bound(t *testing.T, key *agentstest.Key) string {
	t.Helper()
	at := r.provider.TokenEndpoint
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"tools"}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("DPoP", key.Proof(http.MethodPost, at, "", agentstest.Claims{"ath": nil}))
	request.SetBasicAuth("copilot", "change-me-copilot")
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Type != "DPoP" {
		t.Fatalf("%d, %v, a token of type %q", response.StatusCode, err, answer.Type)
	}
	return answer.Token
}
