package keycloak_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/cmd/provide/keycloak"
)

// tracker is an MCP server that takes Keycloak's tokens, and says in the way of RFC 9728 that it does.
type tracker struct {
	url string

	mu     sync.Mutex
	tokens map[string]bool // guarded by mu; those that it has taken
}

func newTracker(t *testing.T, issuer string) *tracker {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.Verifier(&oidc.Config{SkipClientIDCheck: true}) // Keycloak knows no resource parameter
	m := mcpserver.NewMCPServer("tracker", "1")
	m.AddTool(mcp.NewTool("issues"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("none"), nil
	})
	inner := mcpserver.NewStreamableHTTPServer(m)
	x := &tracker{tokens: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(map[string]any{"resource": x.url, "authorization_servers": []string{issuer}}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, err := verifier.Verify(r.Context(), token); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+strings.TrimSuffix(x.url, "/mcp")+`/.well-known/oauth-protected-resource/mcp"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		x.mu.Lock()
		x.tokens[token] = true
		x.mu.Unlock()
		inner.ServeHTTP(w, r)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	x.url = s.URL + "/mcp"
	return x
}

// shown is how many tokens the tracker has taken.
func (x *tracker) shown() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.tokens)
}

// A person consents once to the use of an upstream that asks for OAuth. The broker registers itself
// at Keycloak, renews the token whenever it has expired, with a refresh token that is good for one
// time only, and is killed in between. When the consent is withdrawn, the broker says what to do.
func TestAnUpstreamAsksForOAuth(t *testing.T) {
	t.Parallel()
	r := prepare(t)
	r.letRegister(t)
	r.admin(t, http.MethodPut, "", map[string]any{"realm": r.realm.Name, "accessTokenLifespan": 3600, "revokeRefreshToken": true, "refreshTokenMaxReuse": 0}, nil)
	x := newTracker(t, r.realm.Issuer)
	r.configure(t, map[string]string{"upstreams:\n": "upstreams:\n  tracker: { domain: payments, url: " + x.url + ", auth: { oauth: { scopes: [openid] } } }\n"})
	const more = `permit (principal, action in Action::"tracker", resource);`
	if err := os.WriteFile(filepath.Join(r.dir, "policy", "more.cedar"), []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.await(t, "the broker says what the upstream needs", r.wantsLogin(t))
	r.login(t)
	alice := r.person(t, "alice", "desktop", "tools")
	calls := func() bool {
		got := r.call(t, alice, "tracker__issues", "{}")
		return got.Error.Message == "" && !got.Result.IsError
	}
	r.await(t, "the broker takes up the consent", calls)

	r.admin(t, http.MethodPut, "", map[string]any{"realm": r.realm.Name, "accessTokenLifespan": 3}, nil)
	r.age(t)
	for range 3 {
		before := x.shown()
		r.await(t, "another token is shown", func() bool { return calls() && x.shown() > before })
		r.kill()
		r.start(t)
		r.await(t, "it is called after a kill", calls)
	}

	r.withdraw(t)
	r.await(t, "the broker says that the consent is gone", func() bool {
		got := r.call(t, alice, "tracker__issues", "{}")
		return strings.Contains(got.body, "deed upstreams login tracker") && r.wantsLogin(t)()
	})
	r.login(t)
	r.await(t, "the broker takes up another consent", calls)
}

// wantsLogin reports whether the broker says that a person has to consent.
func (r *rig) wantsLogin(t *testing.T) func() bool {
	t.Helper()
	return func() bool {
		_, _, body := r.get(t, "/readyz", "")
		return strings.Contains(body, "run `deed upstreams login tracker`")
	}
}

// login consents to the use of the tracker in a terminal and a browser.
func (r *rig) login(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), r.binary, "upstreams", "login", "tracker", "-c", filepath.Join(r.dir, "deed.yaml"), "--json")
	cmd.Env = r.env("DEED_KEYCLOAK_SECRET=change-me-broker")
	said := &addressed{address: make(chan string, 1)}
	cmd.Stderr = said
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case address := <-said.address:
		if err := r.visit(t.Context(), &keycloak.Browser{User: "bob", Password: "bob"}, address); err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		t.Fatalf("deed upstreams login: %v\n%s", err, said.text.String())
	}
	if err := <-ended; err != nil {
		t.Fatalf("deed upstreams login: %v\n%s", err, said.text.String())
	}
	var consented struct {
		Issuer string `json:"issuer"`
		Renews bool   `json:"renews"`
	}
	if err := json.Unmarshal([]byte(out.String()), &consented); err != nil || consented.Issuer != r.realm.Issuer || !consented.Renews {
		t.Errorf("it said %s, %v", out.String(), err)
	}
}

// addressed looks for an address in what a process says.
type addressed struct {
	text    output
	address chan string
}

var addressLine = regexp.MustCompile(`(?m)^  (http\S+)$`)

// Write implements io.Writer.
func (a *addressed) Write(p []byte) (int, error) {
	n, err := a.text.Write(p)
	if found := addressLine.FindStringSubmatch(a.text.String()); found != nil {
		select {
		case a.address <- found[1]:
		default:
		}
	}
	return n, err
}

// letRegister has Keycloak register clients from this machine.
func (r *rig) letRegister(t *testing.T) {
	t.Helper()
	var policies []struct {
		ID       string `json:"id"`
		Provider string `json:"providerId"`
	}
	r.admin(t, http.MethodGet, "/components?type=org.keycloak.services.clientregistration.policy.ClientRegistrationPolicy", nil, &policies)
	for _, p := range policies {
		if p.Provider == "trusted-hosts" {
			r.admin(t, http.MethodDelete, "/components/"+p.ID, nil, nil)
		}
	}
}

// age makes the token that the broker has old, as it will be after a while.
func (r *rig) age(t *testing.T) {
	t.Helper()
	path := filepath.Join(r.dir, "data", "oauth", "tracker.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	aged := regexp.MustCompile(`"expires":"[^"]+"`).ReplaceAll(text, []byte(`"expires":"2026-01-01T00:00:00Z"`))
	if string(aged) == string(text) {
		t.Fatal("the token does not expire")
	}
	if err := errors.Join(os.WriteFile(path+".new", aged, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// withdraw ends what bob has consented to, with the session that it stands on.
func (r *rig) withdraw(t *testing.T) {
	t.Helper()
	var users []struct {
		ID string `json:"id"`
	}
	r.admin(t, http.MethodGet, "/users?username=bob&exact=true", nil, &users)
	if len(users) != 1 {
		t.Fatalf("%d are called bob", len(users))
	}
	r.admin(t, http.MethodPost, "/users/"+users[0].ID+"/logout", nil, nil)
}
