package oidc_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

// Whatever is sent as a token, it is accepted only if the issuer signed it, and
// answered with a rejection otherwise.
func FuzzVerify(f *testing.F) {
	idp := agentstest.New(f, issuerURL, audience)
	v := ready(f, config(idp))
	good := idp.Token(idp.DelegatedClaims("alice", "copilot"))
	parts := strings.Split(good, ".")
	for _, seed := range []string{"", ".", "..", "...", good, good + "\n", parts[0] + "." + parts[1] + ".", "e30.e30.", "bnVsbA.bnVsbA.AA", strings.Repeat("e30.", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if got := kind(t, v, token); (got == "") != (token == good) {
			t.Errorf("token %q: %q", token, got)
		}
	})
}

// Whatever an issuer signs, an identity comes out whole or not at all.
func FuzzClaims(f *testing.F) {
	idp := agentstest.New(f, issuerURL, audience)
	v := ready(f, config(idp))
	key := idp.Key()
	header := []byte(`{"alg":"ES256","typ":"at+jwt","kid":"` + key.ID + `"}`)
	base := idp.PersonClaims("alice", "copilot")
	for _, seed := range []string{`"x"`, `null`, `{"sub":"copilot"}`, `{"sub":"copilot","act":{"sub":"b"}}`, `{"sub":"copilot","act":[]}`, `{"act":{}}`, `1e999`, `{"sub":"copilot","sub":"b"}`} {
		f.Add("act", seed)
		f.Add("aud", seed)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		payload, err := json.Marshal(base.With(claims{name: json.RawMessage(value)}))
		if err != nil {
			return
		}
		identity, err := v.Verify(t.Context(), agents.Credential{Token: key.Sign(header, payload)})
		if err != nil {
			return
		}
		if identity.Principal == "" && len(identity.Chain) == 0 {
			t.Errorf("nobody is behind %s", payload)
		}
		for _, actor := range identity.Chain {
			if actor.ID == "" {
				t.Errorf("a nameless agent in %s", payload)
			}
		}
		if _, err := base64.RawURLEncoding.DecodeString(identity.TokenDigest); err != nil || len(identity.TokenDigest) != 64 {
			t.Errorf("digest %q", identity.TokenDigest)
		}
	})
}
