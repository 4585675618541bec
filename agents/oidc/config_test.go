package oidc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/oidc"
)

func TestWrongConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		change func(*oidc.Config)
		want   string
	}{
		{"no audience", func(c *oidc.Config) { c.Audience = "" }, "no audience"},
		{"no issuers", func(c *oidc.Config) { c.Issuers = nil }, "no issuers"},
		{"an issuer over plain HTTP", func(c *oidc.Config) { c.Issuers[0].URL = "http://idp.example" }, "neither https nor http on loopback"},
		{"an issuer with a query", func(c *oidc.Config) { c.Issuers[0].URL = "https://idp.example?x=1" }, "scheme, host and path alone"},
		{"an issuer with a password", func(c *oidc.Config) { c.Issuers[0].URL = "https://a:b@idp.example" }, "scheme, host and path alone"},
		{"no URL", func(c *oidc.Config) { c.Issuers[0].URL = "" }, "scheme, host and path alone"},
		{"twice the same", func(c *oidc.Config) { c.Issuers = append(c.Issuers, c.Issuers[0]) }, "configured twice"},
		{"two without a prefix", func(c *oidc.Config) { c.Issuers = append(c.Issuers, oidc.Issuer{URL: "https://b.example"}) }, "each needs its own"},
		{"a prefix with a colon", func(c *oidc.Config) { c.Issuers[0].Prefix = "a:b" }, "prefix"},
		{"alg none", func(c *oidc.Config) { c.Issuers[0].Algorithms = []string{"none"} }, `algorithm "none"`},
		{"HMAC", func(c *oidc.Config) { c.Issuers[0].Algorithms = []string{"HS256"} }, `algorithm "HS256"`},
		{"an agent as a person's client", func(c *oidc.Config) { c.Issuers[0].PeopleClients = []string{"copilot"} }, "copilot"},
		{"half a service account", func(c *oidc.Config) { c.Issuers[0].Claims.ServiceAccount.Claim = "sub" }, "service account"},
		{"too much skew", func(c *oidc.Config) { c.Skew = time.Hour }, "skew"},
		{"too much leeway", func(c *oidc.Config) { c.ExpiryLeeway = time.Hour }, "expiry leeway"},
		{"negative lifetime", func(c *oidc.Config) { c.MaxLifetime = -1 }, "lifetime"},
		{"negative cache", func(c *oidc.Config) { c.CacheSize = -1 }, "cache size"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := oidc.Config{Audience: audience, Issuers: []oidc.Issuer{{URL: issuerURL}}, Agents: map[string]oidc.Agent{"copilot": {}}}
			row.change(&c)
			if _, err := oidc.New(c); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want one with %q", err, row.want)
			}
		})
	}
	for _, url := range []string{"http://127.0.0.1:8643/demo", "http://[::1]/demo", "http://localhost:1", "https://idp.example/realms/acme"} {
		if _, err := oidc.New(oidc.Config{Audience: audience, Issuers: []oidc.Issuer{{URL: url}}}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
