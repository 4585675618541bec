package demo_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/agents/login"
)

func TestTheBrokersVerifierUnderstandsEveryKindOfToken(t *testing.T) {
	t.Parallel()
	server := start(t)
	c, v := client(t, server), verifier(t, server)
	assistant := []string{"assistant"}
	rows := []struct {
		name      string
		request   demo.TokenRequest
		principal string
		roles     []string
		chain     []agents.Actor
	}{
		{"a person", demo.TokenRequest{User: "bob"}, "bob", []string{"lead"}, nil},
		{"an agent for a person", demo.TokenRequest{User: "alice", Agents: []string{"copilot"}}, "alice", []string{"support"}, []agents.Actor{{ID: "copilot", Roles: assistant, Registered: true}}},
		{
			"an agent for an agent for a person",
			demo.TokenRequest{User: "alice", Agents: []string{"copilot", "sub-agent"}},
			"alice",
			[]string{"support"},
			[]agents.Actor{{ID: "sub-agent", Roles: assistant, Registered: true}, {ID: "copilot", Roles: assistant, Registered: true}},
		},
		{"the other agent for a person", demo.TokenRequest{User: "carol", Agents: []string{"sub-agent"}}, "carol", []string{"auditor"}, []agents.Actor{{ID: "sub-agent", Roles: assistant, Registered: true}}},
		{"an agent on its own", demo.TokenRequest{Agents: []string{"copilot"}}, "", nil, []agents.Actor{{ID: "copilot", Roles: assistant, Registered: true}}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.request.Scopes = []string{"tools:call", "tools:read"}
			identity, err := v.Verify(t.Context(), agents.Credential{Token: token(t, c, row.request)})
			if err != nil {
				t.Fatal(err)
			}
			if identity.Principal != row.principal {
				t.Errorf("principal %q, want %q", identity.Principal, row.principal)
			}
			if diff := cmp.Diff(row.roles, identity.Roles); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.chain, identity.Chain); diff != "" {
				t.Errorf("chain (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(row.request.Scopes, identity.Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
			if (row.principal != "") != (identity.Session != "") || identity.TokenID == "" {
				t.Errorf("session %q, token ID %q", identity.Session, identity.TokenID)
			}
		})
	}
}

func TestTokensForShowAreRefusedForWhatTheyShow(t *testing.T) {
	t.Parallel()
	server := start(t)
	c, v := client(t, server), verifier(t, server)
	rows := []struct {
		name    string
		request demo.TokenRequest
		want    agents.Kind
	}{
		{"expired, an agent's", demo.TokenRequest{User: "alice", Agents: []string{"copilot"}, Expired: true}, agents.Expired},
		{"expired, a person's", demo.TokenRequest{User: "alice", Expired: true}, agents.Expired},
		{"expired, an agent's own", demo.TokenRequest{Agents: []string{"copilot"}, Expired: true}, agents.Expired},
		{"for another resource", demo.TokenRequest{User: "alice", Resource: otherResource}, agents.WrongAudience},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := v.Verify(t.Context(), agents.Credential{Token: token(t, c, row.request)})
			rejection, ok := errors.AsType[*agents.Rejection](err)
			if !ok || rejection.Kind != row.want {
				t.Errorf("%v, want %q", err, row.want)
			}
		})
	}
}

func TestAnIDTokenIsNoAccessToken(t *testing.T) {
	t.Parallel()
	server := start(t)
	v := verifier(t, server)
	a := post(t, server.URL()+"/token", demo.CLIClient, "", codeForm(code(t, server)))
	idToken, ok := a.body["id_token"].(string)
	if !ok {
		t.Fatalf("answer %d %v has no ID token", a.status, a.body["error"])
	}
	_, err := v.Verify(t.Context(), agents.Credential{Token: idToken})
	if rejection, ok := errors.AsType[*agents.Rejection](err); !ok || rejection.Kind != agents.WrongType {
		t.Errorf("%v, want %q", err, agents.WrongType)
	}
	if _, err := v.Verify(t.Context(), agents.Credential{Token: a.body["access_token"].(string)}); err != nil {
		t.Errorf("the access token beside it: %v", err)
	}
}

func TestALifetimeIsAsAskedButNeverLongerThanTheSubjects(t *testing.T) {
	t.Parallel()
	server := start(t)
	c := client(t, server)
	v := verifier(t, server)
	person, err := c.Token(t.Context(), demo.TokenRequest{User: "alice", Lifetime: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := v.Verify(t.Context(), agents.Credential{Token: string(person.Access)})
	if err != nil {
		t.Fatal(err)
	}
	if got := identity.Expires.Sub(identity.IssuedAt); got != 5*time.Minute {
		t.Errorf("lifetime %s, want 5m", got)
	}
	a := exchange(t, server, "copilot", string(person.Access), "demo_lifetime", "3600")
	delegated, err := v.Verify(t.Context(), agents.Credential{Token: a.body["access_token"].(string)})
	if err != nil {
		t.Fatal(err)
	}
	if !delegated.Expires.Equal(identity.Expires) {
		t.Errorf("the agent's token ends at %s, the person's at %s", delegated.Expires, identity.Expires)
	}
	for _, asked := range []time.Duration{time.Millisecond, 2 * time.Hour, -time.Second} {
		if _, err := c.Token(t.Context(), demo.TokenRequest{User: "alice", Lifetime: asked}); err == nil {
			t.Errorf("a lifetime of %s was granted", asked)
		}
	}
}

func TestTheClientSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	server := start(t)
	c := client(t, server)
	for name, row := range map[string]struct {
		request demo.TokenRequest
		code    string
	}{
		"nobody":         {demo.TokenRequest{User: "mallory"}, "login_required"},
		"wrong order":    {demo.TokenRequest{User: "alice", Agents: []string{"sub-agent", "copilot"}}, "invalid_target"},
		"wrong resource": {demo.TokenRequest{User: "alice", Resource: "https://evil.example"}, "invalid_target"},
		"wrong scope":    {demo.TokenRequest{User: "alice", Scopes: []string{`a"b`}}, "invalid_scope"},
	} {
		_, err := c.Token(t.Context(), row.request)
		if refusal, ok := errors.AsType[*login.GrantError](err); !ok || refusal.Code != row.code {
			t.Errorf("%s: %v, want %s", name, err, row.code)
		}
	}
	for name, request := range map[string]demo.TokenRequest{
		"an agent that is not there": {User: "alice", Agents: []string{"rogue"}},
		"neither user nor agent":     {},
		"agents without a user":      {Agents: []string{"copilot", "sub-agent"}},
	} {
		if _, err := c.Token(t.Context(), request); err == nil {
			t.Errorf("%s: a token was granted", name)
		}
	}
}
