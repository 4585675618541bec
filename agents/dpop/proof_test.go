package dpop_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/dpop"
)

const (
	token = "header.payload.signature"
	url   = "https://deed.example/mcp"
)

type claims = agentstest.Claims

func kind(c *dpop.Checker, proof, thumbprint string) agents.Kind {
	r := c.Check(agents.Credential{Token: token, Scheme: agents.DPoP, Proof: proof, Method: "POST", URL: url}, thumbprint, false)
	if r == nil {
		return ""
	}
	return r.Kind
}

func TestAProofIsForOneRequestOneTokenAndOneKey(t *testing.T) {
	t.Parallel()
	key, other := agentstest.NewKey(t, "ES256"), agentstest.NewKey(t, "ES256")
	stolen := other.Public()
	stolen.Key = key.Public().Key
	with := func(more claims) string { return key.Proof("POST", url, token, more) }
	header := func(more claims) string { return key.ProofWith(more, "POST", url, token, nil) }
	now := time.Now().Unix()
	rows := []struct {
		name  string
		proof string
		want  agents.Kind
	}{
		{"good", with(nil), ""},
		{"good, by Ed25519", "", ""},
		{"the address in another spelling", with(claims{"htu": "HTTPS://DEED.example:443/mcp?x=1#y"}), ""},
		{"no proof", "", agents.BadProof},
		{"no JWS", "x.y.z", agents.BadProof},
		{"another method", with(claims{"htm": "GET"}), agents.BadProof},
		{"a method in small letters", with(claims{"htm": "post"}), agents.BadProof},
		{"another path", with(claims{"htu": url + "/files"}), agents.BadProof},
		{"another host", with(claims{"htu": "https://other.example/mcp"}), agents.BadProof},
		{"plain http", with(claims{"htu": "http://deed.example/mcp"}), agents.BadProof},
		{"no address", with(claims{"htu": nil}), agents.BadProof},
		{"another token", key.Proof("POST", url, "other", nil), agents.BadProof},
		{"no token", with(claims{"ath": nil}), agents.BadProof},
		{"old", with(claims{"iat": now - 90}), agents.BadProof},
		{"from the future", with(claims{"iat": now + 90}), agents.BadProof},
		{"no time", with(claims{"iat": nil}), agents.BadProof},
		{"time is a string", with(claims{"iat": "now"}), agents.BadProof},
		{"no jti", with(claims{"jti": nil}), agents.BadProof},
		{"another typ", header(claims{"typ": "JWT"}), agents.BadProof},
		{"no typ", header(claims{"typ": nil}), agents.BadProof},
		{"no key", header(claims{"jwk": nil}), agents.BadProof},
		{"a private key", header(claims{"jwk": map[string]string{"kty": "oct", "k": "c2VjcmV0"}}), agents.BadProof},
		{"alg none", header(claims{"alg": "none"}), agents.BadProof},
		{"HMAC", header(claims{"alg": "HS256"}), agents.BadProof},
		{"another key", other.Proof("POST", url, token, nil), agents.BadProof},
		{"another key's signature", other.ProofWith(claims{"jwk": stolen}, "POST", url, token, nil), agents.BadProof},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			proof, thumbprint := row.proof, key.Thumbprint()
			if row.name == "good, by Ed25519" {
				ed := agentstest.NewKey(t, "EdDSA")
				proof, thumbprint = ed.Proof("POST", url, token, nil), ed.Thumbprint()
			}
			if got := kind(dpop.New(dpop.Config{}), proof, thumbprint); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestAProofIsForOnceAsLongAsItIsYoung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := agentstest.NewKey(t, "ES256")
		c := dpop.New(dpop.Config{})
		proof := key.Proof("POST", url, token, claims{"iat": time.Now().Add(time.Minute).Unix()}) // by a clock that is ahead
		if got := kind(c, proof, key.Thumbprint()); got != "" {
			t.Fatalf("first: %q", got)
		}
		for range 119 {
			if got := kind(c, proof, key.Thumbprint()); got != agents.ReplayedProof {
				t.Fatalf("again: %q", got)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Second)
		if got := kind(c, proof, key.Thumbprint()); got != agents.BadProof {
			t.Errorf("when it is old: %q", got)
		}
	})
}

func TestAKeyThatFloodsIsRefusedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := dpop.New(dpop.Config{MaxKept: 64})
		flood, other := agentstest.NewKey(t, "EdDSA"), agentstest.NewKey(t, "EdDSA")
		send := func(k *agentstest.Key) agents.Kind { return kind(c, k.Proof("POST", url, token, nil), k.Thumbprint()) }
		for n := range 4 {
			if got := send(flood); got != "" {
				t.Fatalf("proof %d: %q", n, got)
			}
		}
		if got := send(flood); got != agents.TooMany {
			t.Errorf("beyond its share: %q", got)
		}
		if got := send(other); got != "" {
			t.Errorf("another key: %q", got)
		}
		time.Sleep(2 * time.Minute)
		if got := send(flood); got != "" {
			t.Errorf("two minutes later: %q", got)
		}
	})
}

func TestANonceMakesAProofGoodAtOneReplicaAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key := agentstest.NewKey(t, "ES256")
		one, two := dpop.New(dpop.Config{}), dpop.New(dpop.Config{})
		given := map[*dpop.Checker]string{}
		show := func(at *dpop.Checker, proof string) agents.Kind {
			c := agents.Credential{Token: token, Scheme: agents.DPoP, Proof: proof, Method: "POST", URL: url, NextNonce: func(n string) { given[at] = n }}
			if r := at.Check(c, key.Thumbprint(), true); r != nil {
				return r.Kind
			}
			return ""
		}
		with := func(nonce string) string { return key.Proof("POST", url, token, claims{"nonce": nonce}) }
		bare := key.Proof("POST", url, token, nil)
		if got := show(one, bare); got != agents.NonceNeeded || given[one] == "" {
			t.Fatalf("without a nonce: %q, told %q", got, given[one])
		}
		nonce := given[one]
		good := with(nonce)
		for _, step := range []struct {
			name  string
			at    *dpop.Checker
			proof string
			want  agents.Kind
		}{
			{"with the nonce", one, good, ""},
			{"the same proof again", one, good, agents.ReplayedProof},
			{"the same proof at another replica", two, good, agents.NonceNeeded},
			{"another proof with the same nonce", one, with(nonce), ""},
			{"a nonce that somebody made up", one, with("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), agents.NonceNeeded},
			{"a nonce that was changed", one, with("B" + nonce[1:]), agents.NonceNeeded},
			{"a nonce that is none", one, with("?"), agents.NonceNeeded},
		} {
			if got := show(step.at, step.proof); got != step.want {
				t.Errorf("%s: %q, want %q", step.name, got, step.want)
			}
		}
		if got := show(two, with(given[two])); got != "" {
			t.Errorf("with the other replica's nonce there: %q", got)
		}
		delete(given, one)
		time.Sleep(4 * time.Minute)
		if got := show(one, with(nonce)); got != "" || given[one] == "" || given[one] == nonce {
			t.Errorf("shortly before its end: %q, told %q", got, given[one])
		}
		time.Sleep(2 * time.Minute)
		if got := show(one, with(nonce)); got != agents.NonceNeeded {
			t.Errorf("after its end: %q", got)
		}
		if got := show(one, with(given[one])); got != "" {
			t.Errorf("with the one that was told before that: %q", got)
		}
	})
}

func FuzzProof(f *testing.F) {
	key := agentstest.NewKey(f, "ES256")
	good := key.Proof("POST", url, token, claims{"iat": time.Now().Add(30 * time.Second).Unix()})
	f.Add(good)
	f.Add("")
	f.Add("..")
	f.Fuzz(func(t *testing.T, proof string) {
		if got := kind(dpop.New(dpop.Config{}), proof, key.Thumbprint()); got == "" && proof != good {
			t.Errorf("accepted %q", proof)
		}
	})
}
