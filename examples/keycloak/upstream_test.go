package keycloak_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents/login"
)

// caller is who an API behind the broker takes a token to be of.
type caller struct {
	Subject  string `json:"sub"`
	Client   string `json:"azp"`
	audience []string
	token    string
}

// payments is an MCP server that takes tokens of its own audience alone, checks each with
// Keycloak's keys and remembers whose it was.
type payments struct {
	url      string
	verifier *oidc.IDTokenVerifier

	mu      sync.Mutex
	callers []caller // guarded by mu: of tools/call
	refused int      // guarded by mu
}

type callerKey struct{}

func newPayments(t *testing.T, issuer string) *payments {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	p := &payments{verifier: provider.Verifier(&oidc.Config{ClientID: "payments-api"})}
	m := mcpserver.NewMCPServer("payments", "1")
	m.AddTool(mcp.NewTool("whoami"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		c, _ := ctx.Value(callerKey{}).(caller)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.callers = append(p.callers, c)
		return mcp.NewToolResultText(c.Subject), nil
	})
	inner := mcpserver.NewStreamableHTTPServer(m)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := p.check(r)
		if err != nil {
			p.mu.Lock()
			p.refused++
			p.mu.Unlock()
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	}))
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *payments) check(r *http.Request) (caller, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	verified, err := p.verifier.Verify(r.Context(), token)
	if err != nil {
		return caller{}, err
	}
	c := caller{token: token}
	err = verified.Claims(&c)
	c.audience = verified.Audience
	return c, err
}

// seen are the tools/call that came.
func (p *payments) seen() []caller {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.callers)
}

// The API behind the broker learns for whom it works, by a token that Keycloak made for it;
// what the caller showed to the broker never gets there.
func TestAnUpstreamGetsATokenOfItsOwnForThePerson(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	api := newPayments(t, r.realm.Issuer)
	auth := `{ client_id: "` + r.url + `/mcp", client_secret: "env://DEED_KEYCLOAK_SECRET", audience: payments-api }`
	r.configure(t, map[string]string{"upstreams:\n": `upstreams:
  swap: { domain: payments, url: ` + api.url + `/mcp, auth: { exchange: ` + auth + ` } }
  own: { domain: payments, url: ` + api.url + `/mcp, auth: { client_credentials: ` + auth + ` } }
  bare: { domain: payments, url: ` + api.url + `/mcp }
`})
	const more = `permit (principal, action in [Action::"swap", Action::"own"], resource);
@id("ask") @approvers("lead") forbid (principal, action == Action::"own.whoami", resource) unless { context.approvals.count >= 1 };`
	if err := os.WriteFile(filepath.Join(r.dir, "policy", "more.cedar"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	alice, bob := r.person(t, "alice", "deed-cli", "tools"), r.person(t, "bob", "deed-cli", "tools")
	subject := claim(t, alice, "sub")
	tokens := []*login.Token{r.acting(t, "copilot", alice, "tools"), r.person(t, "alice", "desktop", "tools")}
	tokens = append(tokens, r.acting(t, "sub-agent", tokens[0], "tools"))
	for _, token := range tokens {
		if got := r.call(t, token, "swap__whoami", "{}"); got.Result.IsError || len(got.Result.Content) != 1 || got.Result.Content[0].Text != subject {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	for i, c := range api.seen() {
		if c.Client != r.url+"/mcp" || !slices.Equal(c.audience, []string{"payments-api"}) || c.token == string(tokens[i].Access) {
			t.Errorf("the API was shown a token of %s for %q", c.Client, c.audience)
		}
	}
	// What waited for people runs as the broker itself, where the configuration says so.
	held := r.call(t, tokens[0], "own__whoami", "{}")
	r.approve(t, bob, held.callID())
	last := api.seen()
	if c := last[len(last)-1]; len(last) != len(tokens)+1 || c.Client != r.url+"/mcp" || c.Subject == subject {
		t.Errorf("the API was called %d times, at last by %s for %s", len(last), c.Client, c.Subject)
	}
	api.mu.Lock()
	defer api.mu.Unlock()
	if api.refused == 0 {
		t.Error("the API takes whoever shows nothing")
	}
}

// approve has a person approve a held call, and waits until it is closed.
func (r *rig) approve(t *testing.T, by *login.Token, id string) {
	t.Helper()
	var call struct {
		State  string `json:"state"`
		Digest string `json:"digest"`
	}
	read := func() bool {
		_, _, body := r.get(t, "/v1/calls/"+id, string(by.Access))
		return json.Unmarshal([]byte(body), &call) == nil && call.Digest != ""
	}
	r.await(t, "the call is held", read)
	status, _, body := r.do(t, http.MethodPost, "/v1/calls/"+id+"/approvals", string(by.Access),
		`{"verdict":"approve","digest":"`+call.Digest+`"}`, http.Header{"Content-Type": {"application/json"}})
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	r.await(t, "the approved call has run", func() bool { return read() && call.State == "closed" })
}
