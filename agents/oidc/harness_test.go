package oidc_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/oidc"
)

const (
	audience  = "https://deed.example/mcp"
	issuerURL = "https://idp.example"
)

func config(issuers ...*agentstest.Issuer) oidc.Config {
	c := oidc.Config{Audience: audience, Client: agentstest.Client(issuers...), Agents: map[string]oidc.Agent{"copilot": {Roles: []string{"assistant"}}}}
	for _, i := range issuers {
		c.Issuers = append(c.Issuers, oidc.Issuer{URL: i.URL, PeopleClients: []string{"deed-cli", "deed-console"}})
	}
	return c
}

// run starts a verifier that stops with the test; it does not wait for keys.
func run(tb testing.TB, c oidc.Config) *oidc.Verifier {
	tb.Helper()
	v, err := oidc.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := v.Run(ctx); err != nil {
			tb.Errorf("run: %v", err)
		}
	})
	tb.Cleanup(func() { stop(); group.Wait() })
	return v
}

func ready(tb testing.TB, c oidc.Config) *oidc.Verifier {
	tb.Helper()
	v := run(tb, c)
	if err := v.WaitReady(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return v
}

// kind is why v refuses the token; empty if it accepts it.
func kind(tb testing.TB, v agents.Verifier, token string) agents.Kind {
	tb.Helper()
	identity, err := v.Verify(tb.Context(), agents.Credential{Token: token})
	if err == nil {
		if identity == nil {
			tb.Fatal("neither identity nor error")
		}
		return ""
	}
	if identity != nil {
		tb.Errorf("an identity came with the rejection %v", err)
	}
	rejection, ok := errors.AsType[*agents.Rejection](err)
	if !ok {
		tb.Fatalf("error %T is not a rejection: %v", err, err)
	}
	return rejection.Kind
}
