package oidc

import (
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/deedbroker/deed/agents/agentstest"
)

// Whatever a provider publishes, only public asymmetric keys are taken, each for
// its own algorithms.
func FuzzParseKeys(f *testing.F) {
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{agentstest.NewKey(f, algorithm).Public()}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(set)
	}
	for _, seed := range []string{``, `{}`, `{"keys":null}`, `{"keys":[null,1,{}]}`, `{"keys":[{"kty":"oct","k":"AA"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := parseKeys(body)
		if err != nil && keys != nil || len(keys) > maxKeys {
			t.Fatalf("%d keys with error %v", len(keys), err)
		}
		for _, k := range keys {
			for _, algorithm := range []string{"", "none", "HS256", "HS512"} {
				if k.algorithm != algorithm && k.fits(algorithm) || k.public == nil {
					t.Errorf("a key for %q is taken for %q", k.algorithm, algorithm)
				}
			}
		}
	})
}
