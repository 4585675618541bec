package oidc_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/oidc"
)

// asking is a configuration whose issuer is asked about tokens.
func asking(idp *agentstest.Issuer, opaque bool) oidc.Config {
	c := config(idp)
	c.Issuers[0].Introspection = &oidc.Introspection{
		ClientID: "deed", Secret: func() (string, error) { return agentstest.IntrospectionSecret, nil }, Opaque: opaque,
	}
	return c
}

func TestAnOpaqueTokenIsWhatItsIssuerSaysOfIt(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, asking(idp, true))
	good := idp.DelegatedClaims("alice", "copilot").With(claims{"token_type": "Bearer", "scope": "tools"})
	rows := []struct {
		name string
		said claims
		want agents.Kind
	}{
		{"good", good, ""},
		{"good, without iss and iat, which are optional", good.With(claims{"iss": nil, "iat": nil}), ""},
		{"not active", nil, agents.Inactive},
		{"another issuer's", good.With(claims{"iss": "https://other.example"}), agents.UnknownIssuer},
		{"another audience", good.With(claims{"aud": "other"}), agents.WrongAudience},
		{"no audience", good.With(claims{"aud": nil}), agents.WrongAudience},
		{"a refresh token", good.With(claims{"token_type": "refresh"}), agents.WrongType},
		{"an ID token", good.With(claims{"nonce": "n"}), agents.WrongType},
		{"expired by its own word", good.With(claims{"exp": in(-time.Second), "iat": in(-time.Minute)}), agents.Expired},
		{"without end", good.With(claims{"exp": nil}), agents.Malformed},
		{"a lifetime of years", good.With(claims{"iat": nil, "exp": in(3 * 365 * 24 * time.Hour)}), agents.TooLong},
		{"nobody's", good.With(claims{"sub": nil}), agents.NoSubject},
		{"a broken chain", good.With(claims{"act": "copilot"}), agents.BadChain},
		{"bound to a key", good.With(claims{"cnf": claims{"jkt": agentstest.NewKey(t, "ES256").Thumbprint()}}), agents.SenderBound},
		{"a claim in another case", good.With(claims{"SUB": "bob"}), agents.Malformed},
	}
	for n, row := range rows {
		token := fmt.Sprintf("opaque-%d", n)
		idp.Say(token, row.said)
		if got := kind(t, v, token); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	identity, err := v.Verify(t.Context(), agents.Credential{Token: "opaque-0"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(who{"alice", []string{"copilot"}, nil}, who{identity.Principal, []string{identity.Actor()}, identity.Roles}); diff != "" || !identity.HasScope("tools") {
		t.Errorf("%+v: %s", identity, diff)
	}
}

func TestAnIssuersWordIsTakenForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, asking(idp, true))
		c := idp.PersonClaims("alice", "deed-cli")
		signed := idp.Token(c)
		for _, token := range []string{"opaque", signed} {
			idp.Say(token, c)
			before := idp.Introspections()
			for range 100 {
				if got := kind(t, v, token); got != "" {
					t.Fatalf("%q", got)
				}
			}
			if got := idp.Introspections() - before; got != 1 {
				t.Errorf("%d requests for 100 calls, want 1", got)
			}
			idp.Say(token, nil) // revoked
			time.Sleep(oidc.DefaultIntrospectionEvery)
			if got := kind(t, v, token); got != agents.Inactive {
				t.Errorf("after it was revoked: %q", got)
			}
			before = idp.Introspections()
			for range 100 {
				if got := kind(t, v, token); got != agents.Inactive {
					t.Fatalf("again: %q", got)
				}
			}
			if got := idp.Introspections() - before; got != 0 {
				t.Errorf("%d requests for 100 refused calls, want none", got)
			}
		}
	})
}

func TestForgedOpaqueTokensCauseNoFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, asking(idp, true))
		idp.Say("good", idp.PersonClaims("alice", "deed-cli"))
		if got := kind(t, v, "good"); got != "" {
			t.Fatalf("%q", got)
		}
		var group sync.WaitGroup
		for worker := range 20 {
			group.Go(func() {
				for n := range 500 {
					if got := kind(t, v, fmt.Sprintf("forged-%d-%d", worker, n)); got != agents.Inactive && got != agents.TooMany {
						t.Errorf("%q", got)
					}
				}
			})
		}
		group.Wait()
		if got := idp.Introspections(); got > 101 {
			t.Errorf("10,000 forged tokens caused %d requests", got)
		}
		time.Sleep(oidc.DefaultIntrospectionEvery)
		if got := kind(t, v, "good"); got != "" {
			t.Errorf("a token that was good all the time, during the flood: %q", got)
		}
	})
}

func TestAnIssuerThatCannotBeAskedIsTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		c := asking(idp, true)
		secret := errors.New("no secret")
		c.Issuers[0].Introspection.Secret = func() (string, error) {
			if secret != nil {
				return "", secret
			}
			return agentstest.IntrospectionSecret, nil
		}
		v := ready(t, c)
		idp.Say("opaque", idp.PersonClaims("alice", "deed-cli"))
		if got := kind(t, v, "opaque"); got != agents.ProviderTrouble {
			t.Errorf("without the secret: %q", got)
		}
		secret = nil
		if got := kind(t, v, "opaque"); got != "" {
			t.Errorf("with it: %q", got)
		}
		idp.SetDown(true)
		time.Sleep(oidc.DefaultIntrospectionEvery)
		if got := kind(t, v, "opaque"); got != agents.ProviderTrouble {
			t.Errorf("while the issuer is down: %q", got)
		}
		idp.SetDown(false)
		if got := kind(t, v, "opaque"); got != "" {
			t.Errorf("when it is back: %q", got)
		}
	})
}

// Whoever acts after a while asks again, at once; a token that has expired stands.
func TestATokenIsAskedAboutOnceMoreBeforeActing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, asking(idp, false))
		c := idp.DelegatedClaims("alice", "copilot")
		token := idp.Token(c)
		idp.Say(token, c)
		identity, err := v.Verify(t.Context(), agents.Credential{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.InForce(t.Context(), identity); err != nil {
			t.Errorf("in force: %v", err)
		}
		idp.Say(token, nil)
		if rejection, ok := errors.AsType[*agents.Rejection](v.InForce(t.Context(), identity)); !ok || rejection.Kind != agents.Inactive || rejection.Issuer != issuerURL {
			t.Errorf("revoked: %v", rejection)
		}
		time.Sleep(10 * time.Minute)
		if err := v.InForce(t.Context(), identity); err != nil {
			t.Errorf("expired: %v", err)
		}
	})
}

func TestOpaqueTokensNeedAnIssuerThatIsAsked(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	idp.Say("opaque", idp.PersonClaims("alice", "deed-cli"))
	if got := kind(t, ready(t, asking(idp, false)), "opaque"); got != agents.Malformed {
		t.Errorf("%q", got)
	}
	if n := idp.Introspections(); n != 0 {
		t.Errorf("%d requests", n)
	}
}
