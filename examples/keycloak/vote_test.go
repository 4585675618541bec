package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/cmd/provide/keycloak"
)

// An approver's exchanged token carries the approver's roles, and is refused all the same:
// whoever acts with it is an agent.
func TestAnAgentWithAnApproversRolesDecidesNothing(t *testing.T) {
	t.Parallel()
	r := serve(t)
	scopes := []string{"tools", "payments:write"}
	alice, bob := r.person(t, "alice", "deed-cli", scopes...), r.person(t, "bob", "deed-cli", scopes...)
	held := r.call(t, r.acting(t, "copilot", alice, scopes...), "payments__refund", `{"payment":"pay-1002","amount":250}`)
	id := held.callID()
	if held.status != http.StatusOK || id == "" {
		t.Fatalf("%d %s", held.status, held.body)
	}
	var detail struct {
		State  string `json:"state"`
		Digest string `json:"digest"`
	}
	status, _, body := r.get(t, "/v1/calls/"+id, string(bob.Access))
	if err := json.Unmarshal([]byte(body), &detail); err != nil || status != http.StatusOK || detail.Digest == "" {
		t.Fatalf("%d %s", status, body)
	}
	vote := func(token *login.Token, verdict string) (int, string) {
		status, _, body := r.do(t, http.MethodPost, "/v1/calls/"+id+"/approvals", string(token.Access),
			`{"verdict":"`+verdict+`","digest":"`+detail.Digest+`","reason":"tried"}`, http.Header{"Content-Type": {"application/json"}})
		return status, body
	}
	for name, token := range map[string]*login.Token{
		"copilot for bob":           r.acting(t, "copilot", bob),
		"sub-agent for bob":         r.acting(t, "sub-agent", r.acting(t, "copilot", bob)),
		"a desktop copilot for bob": r.person(t, "bob", "desktop"),
	} {
		if w := r.who(t, token); w.Person || !strings.Contains(strings.Join(w.Roles, " "), "lead") {
			t.Fatalf("%s: %+v", name, w)
		}
		for _, verdict := range []string{"approve", "deny"} {
			if status, body := vote(token, verdict); status != http.StatusForbidden {
				t.Errorf("%s may %s: %d %s", name, verdict, status, body)
			}
		}
	}
	if status, body := vote(alice, "approve"); status != http.StatusForbidden {
		t.Errorf("alice, who is no lead, approves: %d %s", status, body)
	}
	if status, body := vote(bob, "approve"); status != http.StatusOK {
		t.Errorf("bob approves: %d %s", status, body)
	}
	r.await(t, "the approved call has run", func() bool {
		_, _, body := r.get(t, "/v1/calls/"+id, string(bob.Access))
		return json.Unmarshal([]byte(body), &detail) == nil && (detail.State == "closed")
	})
}

// Where policy asks for it, a vote needs a login of some strength. Keycloak calls one by
// password 1, and one by a session that is there already 0, unless its realm says otherwise.
func TestAVoteNeedsAStrongLoginWherePolicySaysSo(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	r.configure(t, nil)
	const strong = `@id("by-password") @acr("1") @reason("Decide with your password, not by a session that is open.")
forbid (principal, action == Action::"approve", resource) unless { context.token has acr && context.token.acr == "1" };`
	if err := os.WriteFile(filepath.Join(r.dir, "policy", "strong.cedar"), []byte(strong), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	scopes := []string{"tools", "payments:write"}
	alice := r.person(t, "alice", "deed-cli", scopes...)
	held := r.call(t, r.acting(t, "copilot", alice, scopes...), "payments__refund", `{"payment":"pay-1002","amount":250}`)
	id := held.callID()
	bob := keycloak.Browser{User: "bob", Password: "bob"}
	login := func(acr string) *login.Token {
		t.Helper()
		more := url.Values{}
		if acr != "" {
			more.Set("acr_values", acr)
		}
		return r.personBy(t, &bob, "deed-cli", more, "tools")
	}
	if first := login(""); claim(t, first, "acr") != "1" {
		t.Fatalf("by password the login is %q", claim(t, first, "acr"))
	}
	weak := login("")
	if claim(t, weak, "acr") != "0" {
		t.Fatalf("by a session the login is %q", claim(t, weak, "acr"))
	}
	var call struct {
		Digest string `json:"digest"`
		StepUp string `json:"step_up"`
	}
	_, _, body := r.get(t, "/v1/calls/"+id, string(weak.Access))
	if err := json.Unmarshal([]byte(body), &call); err != nil || call.StepUp != "1" {
		t.Fatalf("%v: %s", err, body)
	}
	status, header, body := r.do(t, http.MethodPost, "/v1/calls/"+id+"/approvals", string(weak.Access),
		`{"verdict":"approve","digest":"`+call.Digest+`"}`, http.Header{"Content-Type": {"application/json"}})
	if status != http.StatusUnauthorized || !strings.Contains(header.Get("WWW-Authenticate"), `error="insufficient_user_authentication"`) || !strings.Contains(header.Get("WWW-Authenticate"), `acr_values="1"`) {
		t.Errorf("with the weak login: %d %s %s", status, header.Get("WWW-Authenticate"), body)
	}
	again := login(call.StepUp)
	r.approve(t, again, id)
	_, _, body = r.get(t, "/v1/calls/"+id, string(again.Access))
	for _, fact := range []string{`"dev.deed.call.vote-refused.v1"`, `"acr":"0"`, `"acr":"1"`} {
		if !strings.Contains(body, fact) {
			t.Errorf("the record does not say %s: %s", fact, body)
		}
	}
}
