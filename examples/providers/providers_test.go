package providers_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/oidc"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
)

// example is a token of a provider's form, with what the broker makes of it.
type example struct {
	Name    string            `json:"name"`
	Header  agentstest.Claims `json:"header"`
	Claims  agentstest.Claims `json:"claims"` // without iat and exp, which are now and in an hour
	Refused agents.Kind       `json:"refused"`

	Principal string   `json:"principal"`
	Chain     []string `json:"chain"`
	Roles     []string `json:"roles"`
	Scopes    []string `json:"scopes"`
}

func TestTokensOfEachProvider(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d providers, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idp, v := verifier(t, name)
			for _, e := range examples(t, file) {
				t.Run(e.Name, func(t *testing.T) { check(t, idp, v, e) })
			}
		})
	}
}

func check(t *testing.T, idp *agentstest.Issuer, v *oidc.Verifier, e example) {
	t.Helper()
	now := time.Now()
	c := e.Claims.With(agentstest.Claims{"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	header := agentstest.Claims{"typ": nil}
	maps.Copy(header, e.Header)
	id, err := v.Verify(t.Context(), agents.Credential{Token: idp.TokenWith(header, c)})
	if e.Refused != "" {
		if r, ok := errors.AsType[*agents.Rejection](err); !ok || r.Kind != e.Refused {
			t.Errorf("%v, want it refused as %s", err, e.Refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := example{Principal: id.Principal, Roles: id.Roles, Scopes: id.Scopes}
	for _, a := range id.Chain {
		got.Chain = append(got.Chain, a.ID)
	}
	want := example{Principal: e.Principal, Chain: e.Chain, Roles: e.Roles, Scopes: e.Scopes}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// verifier is the one that a broker has which is configured with a provider's file.
func verifier(t *testing.T, name string) (*agentstest.Issuer, *oidc.Verifier) {
	t.Helper()
	text, err := os.ReadFile(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(name+".yaml", append([]byte("url: https://deed.acme.example\npolicies: [all.cedar]\nagents: { copilot: { roles: [assistant] } }\n"), text...))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(cfg.Issuers[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	idp := agentstest.New(t, u.String(), cfg.Audience())
	idp.AddKey("RS256")
	for _, host := range cfg.Issuers[0].Hosts {
		idp.KeysURL = "https://" + host + "/oauth2/v3/certs"
	}
	c := server.Verification(cfg, slog.New(slog.DiscardHandler))
	c.Client = agentstest.Client(idp)
	v, err := oidc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	group.Go(func() {
		if err := v.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() { stop(); group.Wait() })
	if err := v.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return idp, v
}

func examples(t *testing.T, file string) []example {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}
