package keycloak_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/login"
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
