package oidc_test

import (
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

// A token for the whole resource is good for each part, one for a part only there.
func TestATokenForAPartIsGoodForThatPart(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	for _, row := range []struct {
		aud  any
		at   string
		want agents.Kind
	}{
		{audience, "", ""},
		{audience, audience + "/files", ""},
		{audience + "/files", audience + "/files", ""},
		{[]string{audience + "/files", audience + "/git"}, audience + "/git", ""},
		{audience + "/files", "", agents.WrongAudience},
		{audience + "/files", audience + "/git", agents.WrongAudience},
		{audience + "-files", audience + "-files", agents.WrongAudience},
		{"https://other.example/mcp/files", "https://other.example/mcp/files", agents.WrongAudience},
	} {
		token := idp.Token(idp.DelegatedClaims("alice", "copilot").With(claims{"aud": row.aud}))
		for range 2 { // at first, and from the cache
			if got := present(t, v, agents.Credential{Token: token, Resource: row.at}); got != row.want {
				t.Errorf("for %v at %q: %q, want %q", row.aud, row.at, got, row.want)
			}
		}
	}
	if got := present(t, v, agents.Credential{Token: idp.Token(idp.PersonClaims("alice", audience+"/files").With(claims{"aud": audience}))}); got != agents.WrongType {
		t.Errorf("issued to a part of the resource: %q", got)
	}
}
