package oidc_test

import (
	"errors"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/dpop"
	"github.com/deedbroker/deed/agents/oidc"
)

// present is why a credential is refused; empty if it is not.
func present(tb testing.TB, v agents.Verifier, c agents.Credential) agents.Kind {
	tb.Helper()
	c.Method, c.URL = "POST", audience
	_, err := v.Verify(tb.Context(), c)
	if err == nil {
		return ""
	}
	rejection, ok := errors.AsType[*agents.Rejection](err)
	if !ok || rejection.Issuer != issuerURL {
		tb.Fatalf("error %v", err)
	}
	return rejection.Kind
}

func TestABoundTokenIsForWhoeverHasItsKey(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	key := agentstest.NewKey(t, "ES256")
	bound := idp.Token(idp.DelegatedClaims("alice", "copilot").With(claims{"cnf": claims{"jkt": key.Thumbprint()}}))
	plain := idp.Token(idp.DelegatedClaims("alice", "copilot"))
	mtls := idp.Token(idp.DelegatedClaims("alice", "copilot").With(claims{"cnf": claims{"x5t#S256": "x"}}))
	keycloaks := idp.Token(idp.DelegatedClaims("alice", "copilot").With(claims{"typ": "DPoP", "cnf": claims{"jkt": key.Thumbprint(), "kc-jkt-type": "DPoP"}}))
	both := idp.Token(idp.DelegatedClaims("alice", "copilot").With(claims{"cnf": claims{"jkt": key.Thumbprint(), "x5t#S256": "x"}}))
	proof := key.Proof("POST", audience, bound, nil)
	rows := []struct {
		name string
		c    agents.Credential
		want agents.Kind
	}{
		{"as a plain bearer token", agents.Credential{Token: bound}, agents.SenderBound},
		{"as a plain bearer token, with a proof", agents.Credential{Token: bound, Proof: key.Proof("POST", audience, bound, nil)}, agents.SenderBound},
		{"without a proof", agents.Credential{Token: bound, Scheme: agents.DPoP}, agents.SenderBound},
		{"with a proof", agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: proof}, ""},
		{"of the kind that Keycloak makes", agents.Credential{Token: keycloaks, Scheme: agents.DPoP, Proof: key.Proof("POST", audience, keycloaks, nil)}, ""},
		{"with a proof that was used", agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: proof}, agents.ReplayedProof},
		{"as a request that goes on", agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: proof, Again: true}, ""},
		{"with a proof for another request", agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: key.Proof("GET", audience, bound, nil)}, agents.BadProof},
		{"with another key's proof", agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: agentstest.NewKey(t, "ES256").Proof("POST", audience, bound, nil)}, agents.BadProof},
		{"a token that is bound to nothing", agents.Credential{Token: plain, Scheme: agents.DPoP, Proof: key.Proof("POST", audience, plain, nil)}, agents.BadProof},
		{"a token that is bound to a certificate too", agents.Credential{Token: both, Scheme: agents.DPoP, Proof: key.Proof("POST", audience, both, nil)}, agents.SenderBound},
		{"a token that is bound to a certificate", agents.Credential{Token: mtls}, agents.SenderBound},
	}
	for _, row := range rows { // in order: one proof is used twice
		if got := present(t, v, row.c); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

func TestBindingMayBeRequired(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	ofIssuer, ofAgent := config(idp), config(idp)
	ofIssuer.Issuers[0].ProofRequired = true
	ofAgent.Agents["copilot"] = oidc.Agent{ProofRequired: true}
	key := agentstest.NewKey(t, "EdDSA")
	for name, c := range map[string]oidc.Config{"issuer": ofIssuer, "agent": ofAgent} {
		v := ready(t, c)
		plain := idp.Token(idp.DelegatedClaims("alice", "sub-agent", "copilot"))
		if got := present(t, v, agents.Credential{Token: plain}); got != agents.Unbound {
			t.Errorf("%s: a plain token: %q", name, got)
		}
		bound := idp.Token(idp.DelegatedClaims("alice", "sub-agent", "copilot").With(claims{"cnf": claims{"jkt": key.Thumbprint()}}))
		if got := present(t, v, agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: key.Proof("POST", audience, bound, nil)}); got != "" {
			t.Errorf("%s: a bound token: %q", name, got)
		}
	}
	if got := present(t, ready(t, ofAgent), agents.Credential{Token: idp.Token(idp.PersonClaims("alice", "deed-cli"))}); got != "" {
		t.Errorf("a person's own token, where only the agent must prove: %q", got)
	}
}

func TestAProofIsGoodOnceWhicheverVerifierIsInForce(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	c := config(idp)
	c.Proofs = dpop.New(dpop.Config{})
	c.Issuers[0].NonceRequired = true
	before, after := ready(t, c), ready(t, c)
	key := agentstest.NewKey(t, "ES256")
	bound := idp.Token(idp.DelegatedClaims("alice", "copilot").With(claims{"cnf": claims{"jkt": key.Thumbprint()}}))
	nonce := ""
	with := func() agents.Credential {
		proof := key.Proof("POST", audience, bound, claims{"nonce": nonce})
		return agents.Credential{Token: bound, Scheme: agents.DPoP, Proof: proof, NextNonce: func(n string) { nonce = n }}
	}
	if got := present(t, before, with()); got != agents.NonceNeeded {
		t.Fatalf("without a nonce: %q", got)
	}
	good := with()
	if got := present(t, before, good); got != "" {
		t.Errorf("with the nonce: %q", got)
	}
	if got := present(t, after, good); got != agents.ReplayedProof {
		t.Errorf("after the configuration was loaded anew: %q", got)
	}
	if got := present(t, after, with()); got != "" {
		t.Errorf("with the nonce from before: %q", got)
	}
}
