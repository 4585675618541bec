package oidc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/oidc"
)

func TestATokenDiesAtItsExpiryThoughItWasVerifiedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		c := config(idp)
		strict := ready(t, c)
		c.ExpiryLeeway = 30 * time.Second
		lenient := ready(t, c)
		token := idp.Token(idp.PersonClaims("alice", "deed-cli"))
		for _, step := range []struct {
			wait                time.Duration
			strictly, leniently agents.Kind
		}{
			{0, "", ""},
			{10*time.Minute - time.Nanosecond, "", ""},
			{time.Nanosecond, agents.Expired, ""},
			{30*time.Second - time.Nanosecond, agents.Expired, ""},
			{time.Nanosecond, agents.Expired, agents.Expired},
		} {
			time.Sleep(step.wait)
			if got := kind(t, strict, token); got != step.strictly {
				t.Errorf("after %s: %q, want %q", step.wait, got, step.strictly)
			}
			if got := kind(t, lenient, token); got != step.leniently {
				t.Errorf("after %s with leeway: %q, want %q", step.wait, got, step.leniently)
			}
		}
	})
}

func TestClocksMayDifferByTheSkew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, config(idp))
		ahead := idp.Token(idp.PersonClaims("alice", "deed-cli").With(claims{"iat": in(61 * time.Second), "nbf": in(61 * time.Second)}))
		if got := kind(t, v, ahead); got != agents.NotYetValid {
			t.Errorf("61 s ahead: %q, want %q", got, agents.NotYetValid)
		}
		time.Sleep(time.Second)
		if got := kind(t, v, ahead); got != "" {
			t.Errorf("60 s ahead: refused as %q", got)
		}
	})
}

func TestAnIssuerThatIsDownAtStartHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up, down := agentstest.New(t, issuerURL, audience), agentstest.New(t, "https://late.example", audience)
		down.SetDown(true)
		c := config(up, down)
		c.Issuers[1].Prefix = "late"
		v := run(t, c)
		synctest.Wait()
		if got := kind(t, v, up.Token(up.PersonClaims("alice", "deed-cli"))); got != "" {
			t.Errorf("the other issuer's token: refused as %q", got)
		}
		late := down.Token(down.PersonClaims("bob", "deed-cli"))
		if got := kind(t, v, late); got != agents.ProviderTrouble {
			t.Errorf("its own token: %q, want %q", got, agents.ProviderTrouble)
		}
		health := v.Health()
		if !health[0].Ready || health[1].Ready || !strings.Contains(health[1].Trouble, "503") {
			t.Errorf("health %+v", health)
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := v.WaitReady(impatient); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "late.example") {
			t.Errorf("waiting for it: %v", err)
		}

		down.SetDown(false)
		time.Sleep(30 * time.Second) // the longest pause between attempts
		synctest.Wait()
		if got := kind(t, v, late); got != "" {
			t.Errorf("its own token, now that it is up: refused as %q", got)
		}
	})
}

func TestKeysSurviveAnOutageUpToTheirMaximumAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, config(idp))
		idp.SetDown(true)
		time.Sleep(23 * time.Hour)
		if got := kind(t, v, idp.Token(idp.PersonClaims("alice", "deed-cli"))); got != "" {
			t.Errorf("after 23 hours of outage: refused as %q", got)
		}
		if h := v.Health()[0]; !h.Ready || h.Trouble == "" {
			t.Errorf("health %+v, want ready, and the trouble told", h)
		}
		long := idp.Token(idp.PersonClaims("bob", "deed-cli").With(claims{"exp": in(20 * time.Hour)}))
		if got := kind(t, v, long); got != "" {
			t.Errorf("a long-lived token: refused as %q", got)
		}
		time.Sleep(2 * time.Hour)
		if got := kind(t, v, long); got != agents.ProviderTrouble {
			t.Errorf("the same after 25 hours of outage: %q, want %q", got, agents.ProviderTrouble)
		}
		if v.Health()[0].Ready {
			t.Error("ready after 25 hours of outage")
		}
		idp.SetDown(false)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := kind(t, v, long); got != "" {
			t.Errorf("the same after the outage: refused as %q", got)
		}
	})
}

func TestAWithdrawnKeyIsNotTrustedPastTheNextRefresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, config(idp))
		stolen := idp.Key()
		cached, unseen := idp.Token(idp.PersonClaims("alice", "deed-cli")), idp.Token(idp.PersonClaims("bob", "deed-cli"))
		if got := kind(t, v, cached); got != "" {
			t.Fatalf("refused as %q", got)
		}
		idp.AddKey("ES256")
		idp.Withdraw(stolen)
		time.Sleep(oidc.DefaultRefreshInterval + time.Second)
		synctest.Wait()
		for name, token := range map[string]string{"verified before": cached, "never seen": unseen} {
			if got := kind(t, v, token); got != agents.UnknownKey {
				t.Errorf("token %s: %q, want %q", name, got, agents.UnknownKey)
			}
		}
	})
}

func TestANewKeyIsFoundWhenATokenNamesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, config(idp))
		time.Sleep(oidc.DefaultMinFetchInterval)
		for _, algorithm := range []string{"RS256", "EdDSA", "ES256"} {
			idp.AddKey(algorithm)
			token := idp.Token(idp.PersonClaims("alice", "deed-cli"))
			if got := kind(t, v, token); got != "" {
				t.Errorf("%s: refused as %q", algorithm, got)
			}
			time.Sleep(oidc.DefaultMinFetchInterval)
		}
		if got := kind(t, v, idp.TokenWith(claims{"kid": nil}, idp.PersonClaims("bob", "deed-cli"))); got != agents.UnknownKey {
			t.Errorf("no kid where two keys would fit: %q, want %q", got, agents.UnknownKey)
		}
	})
}

func TestForgedTokensCauseNoFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, config(idp))
		time.Sleep(oidc.DefaultMinFetchInterval)
		before := idp.KeyFetches()
		c := idp.PersonClaims("alice", "deed-cli")
		parts := strings.Split(idp.Token(c), ".")
		var accepted atomic.Int64
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				for n := range 500 {
					header := agentstest.Encode(fmt.Appendf(nil, `{"alg":"ES256","kid":"forged-%d","typ":"at+jwt"}`, n))
					if _, err := v.Verify(t.Context(), agents.Credential{Token: header + "." + parts[1] + "." + parts[2]}); err == nil {
						accepted.Add(1)
					}
				}
			})
		}
		group.Wait()
		if accepted.Load() > 0 {
			t.Errorf("%d forged tokens accepted", accepted.Load())
		}
		if got := idp.KeyFetches() - before; got != 1 {
			t.Errorf("10,000 forged tokens caused %d fetches, want 1", got)
		}
		for range 60 { // one a second, a minute long
			time.Sleep(time.Second)
			if got := kind(t, v, idp.TokenWith(claims{"kid": "forged"}, c)); got != agents.UnknownKey {
				t.Errorf("forged token: %q", got)
			}
		}
		if got := idp.KeyFetches() - before; got > 7 {
			t.Errorf("%d fetches in a minute, want 7 at most", got)
		}
	})
}

func TestAnUnknownKeyWhileTheProviderIsDownIsTheProvidersTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		v := ready(t, config(idp))
		time.Sleep(oidc.DefaultMinFetchInterval)
		idp.SetDown(true)
		idp.AddKey("ES256")
		if got := kind(t, v, idp.Token(idp.PersonClaims("alice", "deed-cli"))); got != agents.ProviderTrouble {
			t.Errorf("%q, want %q", got, agents.ProviderTrouble)
		}
	})
}

func TestVerifyWaitsForTheFirstKeysNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idp := agentstest.New(t, issuerURL, audience)
		c := config(idp)
		c.Client.Transport = silent{}
		v := run(t, c)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := v.Verify(ctx, agents.Credential{Token: idp.Token(idp.PersonClaims("alice", "deed-cli"))})
		rejection, ok := errors.AsType[*agents.Rejection](err)
		if !ok || rejection.Kind != agents.ProviderTrouble || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		time.Sleep(oidc.DefaultFetchTimeout)
		synctest.Wait()
		if h := v.Health()[0]; h.Ready || h.Trouble == "" {
			t.Errorf("health %+v, want the time-out told", h)
		}
	})
}

func TestRunIsForOnce(t *testing.T) {
	t.Parallel()
	idp := agentstest.New(t, issuerURL, audience)
	v := ready(t, config(idp))
	if err := v.Run(t.Context()); err == nil {
		t.Error("a second Run returned nil")
	}
}
