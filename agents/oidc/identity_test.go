package oidc_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/oidc"
)

func TestTheIdentityIsWhatTheTokenProves(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	c := idp.DelegatedClaims("alice", "sub-agent", "copilot").With(claims{
		"aud": []string{"other", audience}, "roles": []string{"support", "lead"}, "scope": "tools:call tools:read",
		"acr": "mfa", "sid": "session-1", "azp": "sub-agent", "exp": float64(in(time.Minute)) + 0.5,
	})
	token := idp.TokenWith(claims{"typ": "application/AT+JWT"}, c)
	got, err := v.Verify(t.Context(), agents.Credential{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(token))
	want := &agents.Identity{
		Issuer: issuerURL, Principal: "alice", Chain: []agents.Actor{{ID: "sub-agent"}, {ID: "copilot", Roles: []string{"assistant"}, Registered: true}},
		Roles: []string{"support", "lead"}, Scopes: []string{"tools:call", "tools:read"}, ACR: "mfa", Session: "session-1", TokenID: "token-of-alice",
		KeyID: got.KeyID, TokenDigest: hex.EncodeToString(sum[:]), IssuedAt: time.Unix(c["iat"].(int64), 0),
		Expires: time.UnixMilli(int64(c["exp"].(float64) * 1000)),
	}
	if got.KeyID == "" {
		t.Error("the key is not named")
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

// who is the part of an identity that is about people and agents.
type who struct {
	Principal string
	Chain     []string
	Roles     []string
}

func TestWhoStandsBehindAToken(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	c := config(idp)
	c.Issuers[0].Claims = oidc.Claims{
		Roles: "realm_access.roles", Agent: "azp",
		ServiceAccount: oidc.ServiceAccount{Claim: "preferred_username", Value: "service-account-{client}"},
	}
	v := ready(t, c)
	person := idp.PersonClaims("alice", "deed-cli").With(claims{"realm_access": claims{"roles": []string{"lead"}}})
	service := person.With(claims{"sub": "3f1c", "client_id": "copilot", "preferred_username": "service-account-copilot"})
	lead := []string{"lead"}
	rows := []struct {
		name   string
		claims claims
		want   who
	}{
		{"a person's own token", person, who{"alice", nil, lead}},
		{"a person's own token, by azp", person.With(claims{"client_id": nil, "azp": "deed-console"}), who{"alice", nil, lead}},
		{"a client that is not people's is an actor", person.With(claims{"client_id": "copilot"}), who{"alice", []string{"copilot"}, lead}},
		{"an actor", person.With(claims{"client_id": "copilot", "act": claims{"sub": "copilot"}}), who{"alice", []string{"copilot"}, lead}},
		{"an actor that is named apart from its client", person.With(claims{"client_id": "copilot", "act": claims{"sub": "agent-7", "client_id": "copilot"}}), who{"alice", []string{"agent-7"}, lead}},
		{"an actor where the token names no client", person.With(claims{"client_id": nil, "act": claims{"sub": "copilot"}}), who{"alice", []string{"copilot"}, lead}},
		{"extra claims in act", person.With(claims{"client_id": "copilot", "act": claims{"sub": "copilot", "iss": issuerURL, "amr": "x"}}), who{"alice", []string{"copilot"}, lead}},
		{"client credentials", person.With(claims{"sub": "copilot", "client_id": "copilot"}), who{"", []string{"copilot"}, nil}},
		{"a service account", service, who{"", []string{"copilot"}, nil}},
		{"a service account with an act that is its own", service.With(claims{"act": claims{"sub": "copilot"}}), who{"", []string{"copilot"}, nil}},
		{"a service account of another client's name is none", service.With(claims{"preferred_username": "service-account-other"}), who{"3f1c", []string{"copilot"}, lead}},
		{"an agent for an agent", person.With(claims{"sub": "copilot", "client_id": "sub-agent", "act": claims{"sub": "sub-agent"}}), who{"", []string{"sub-agent", "copilot"}, nil}},
		{"an agent under a person's client", person.With(claims{"sub": "copilot"}), who{"", []string{"copilot"}, nil}},
		{"no roles", person.With(claims{"realm_access": nil}), who{"alice", nil, nil}},
		{"roles of the wrong path", person.With(claims{"realm_access": "x", "roles": []string{"admin"}}), who{"alice", nil, nil}},
		{"a client that is people's for its own account", person.With(claims{"sub": "deed-cli"}), who{"", []string{"deed-cli"}, nil}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			identity, err := v.Verify(t.Context(), agents.Credential{Token: idp.Token(row.claims)})
			if err != nil {
				t.Fatal(err)
			}
			got := who{identity.Principal, nil, identity.Roles}
			for _, actor := range identity.Chain {
				got.Chain = append(got.Chain, actor.ID)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if person := row.want.Principal != "" && row.want.Chain == nil; identity.Person() != person {
				t.Errorf("person: %v, want %v", identity.Person(), person)
			}
		})
	}
}

func TestSeveralIssuersDoNotMix(t *testing.T) {
	t.Parallel()
	plain, okta := agentstest.New(t, issuerURL, audience), agentstest.New(t, "https://okta.example", audience)
	c := config(plain, okta)
	c.Issuers[1].Prefix = "okta"
	c.Issuers[1].Claims.Agent = "cid"
	c.Agents["okta:helper"] = oidc.Agent{Roles: []string{"support-agent"}}
	v := ready(t, c)

	identity, err := v.Verify(t.Context(), agents.Credential{Token: okta.Token(okta.PersonClaims("alice", "").With(claims{"client_id": nil, "cid": "helper", "scp": []string{"a", "b"}}))})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := identity.Principal, "okta:alice"; got != want {
		t.Errorf("principal %q, want %q", got, want)
	}
	if diff := cmp.Diff([]agents.Actor{{ID: "okta:helper", Roles: []string{"support-agent"}, Registered: true}}, identity.Chain); diff != "" {
		t.Errorf("chain (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, identity.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}

	if got := kind(t, v, plain.Token(plain.PersonClaims("okta:alice", "deed-cli"))); got != agents.NoSubject {
		t.Errorf("a subject posing as the other issuer's: %q, want %q", got, agents.NoSubject)
	}
	if got := kind(t, v, plain.Token(plain.DelegatedClaims("alice", "okta:helper"))); got != agents.BadChain {
		t.Errorf("an agent posing as the other issuer's: %q, want %q", got, agents.BadChain)
	}
	if got := kind(t, v, plain.Token(plain.PersonClaims("urn:alice|1", "deed-cli"))); got != "" {
		t.Errorf("a subject with a colon that is nobody's prefix: refused as %q", got)
	}
	if got := kind(t, v, okta.Token(okta.PersonClaims("alice", "deed-cli").With(claims{"iss": plain.URL}))); got != agents.UnknownKey {
		t.Errorf("one issuer signing for another: %q, want %q", got, agents.UnknownKey)
	}
}

func TestAnIssuerMayBeAllowedPlainJWTs(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	c := config(idp)
	c.Issuers[0].AllowPlainType = true
	c.Issuers[0].Algorithms = []string{"ES256"}
	v := ready(t, c)
	access := idp.PersonClaims("alice", "deed-cli")
	rows := []struct {
		name   string
		header claims
		claims claims
		want   agents.Kind
	}{
		{"JWT", claims{"typ": "JWT"}, access, ""},
		{"no typ", claims{"typ": nil}, access, ""},
		{"at+jwt", nil, access.With(claims{"typ": "Bearer"}), ""},
		{"no kid where there is one key", claims{"kid": nil}, access, ""},
		{"an ID token", claims{"typ": "JWT"}, access.With(claims{"nonce": "n"}), agents.WrongType},
		{"Keycloak's ID token", claims{"typ": "JWT"}, access.With(claims{"typ": "ID"}), agents.WrongType},
		{"a logout token", claims{"typ": "JWT"}, access.With(claims{"events": claims{"x": claims{}}}), agents.WrongType},
		{"an ID-JAG", claims{"typ": "oauth-id-jag+jwt"}, access, agents.WrongType},
		{"an algorithm that is not this issuer's", claims{"alg": "EdDSA"}, access, agents.BadAlgorithm},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := kind(t, v, idp.TokenWith(row.header, row.claims)); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}
