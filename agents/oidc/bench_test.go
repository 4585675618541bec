package oidc_test

import (
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		idp := agentstest.New(b, issuerURL, audience)
		idp.AddKey(algorithm)
		c := config(idp)
		c.CacheSize = 1
		v := ready(b, c)
		tokens := [2]string{idp.Token(idp.DelegatedClaims("alice", "copilot")), idp.Token(idp.DelegatedClaims("bob", "copilot"))}
		b.Run(algorithm+"/cached", func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Verify(b.Context(), agents.Credential{Token: tokens[0]}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+"/uncached", func(b *testing.B) {
			n := 0
			for b.Loop() {
				n++
				if _, err := v.Verify(b.Context(), agents.Credential{Token: tokens[n%2]}); err != nil { // each pushes the other out
					b.Fatal(err)
				}
			}
		})
	}
}
