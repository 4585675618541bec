package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/demo"
)

// widenedRefusals are of an agent that exchanges its token for one that may do more. The
// demo issuer refuses it, and the broker that it stands beside records it.
func widenedRefusals() []refusal {
	exchange := func(why, agent string, through []string, more url.Values) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			idp := s.demoIssuer(t)
			c, err := demo.NewClient(t.Context(), idp.Secrets(), nil)
			if err != nil {
				t.Fatal(err)
			}
			subject, err := c.Token(t.Context(), demo.TokenRequest{User: "alice", Scopes: []string{"tools"}, Agents: through})
			if err != nil {
				t.Fatal(err)
			}
			more.Set("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
			more.Set("subject_token", string(subject.Access))
			more.Set("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
			r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, idp.URL()+"/token", strings.NewReader(more.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth(agent, idp.Secrets().Clients[agent])
			return r
		}}
	}
	return []refusal{
		exchange("an exchange for more scopes than the person's token has", demo.Copilot, nil, url.Values{"scope": {"tools payments:write"}}),
		exchange("a sub-agent's exchange for more scopes than its agent's token has", demo.SubAgent, []string{demo.Copilot}, url.Values{"scope": {"tools payments:write"}}),
		exchange("an exchange for another audience than the token's", demo.Copilot, nil, url.Values{"resource": {"https://payments.example/mcp"}}),
	}
}

// demoIssuer is one beside this broker, which records the attempts to widen at it.
func (s *site) demoIssuer(t *testing.T) *demo.Server {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	idp, err := demo.Start(ctx, demo.Config{
		URL: "http://127.0.0.1:0/demo", Resources: []string{s.url() + "/mcp", "https://payments.example/mcp"},
		ConsoleRedirects: []string{s.url() + "/callback"},
		Widened: func(ctx context.Context) {
			s.Reject(ctx, &agents.Rejection{Kind: agents.Widened, Issuer: s.issuer.URL})
		},
	})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := idp.Wait(); err != nil {
			t.Error(err)
		}
	})
	return idp
}
