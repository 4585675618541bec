package demo_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/agents/oidc"
)

const (
	resource        = "http://127.0.0.1:8642/mcp"
	otherResource   = "https://payments.example/mcp"
	consoleRedirect = "http://127.0.0.1:8642/console/callback"
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
)

// start serves a demo issuer until the test ends.
func start(t *testing.T) *demo.Server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	server, err := demo.Start(ctx, demo.Config{
		URL: "http://127.0.0.1:0/demo", Resources: []string{resource, otherResource}, ConsoleRedirects: []string{consoleRedirect},
	})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := server.Wait(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return server
}

func client(t *testing.T, server *demo.Server) *demo.Client {
	t.Helper()
	c, err := demo.NewClient(t.Context(), server.Secrets(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verifier is the one that the broker would use.
func verifier(t *testing.T, server *demo.Server) *oidc.Verifier {
	t.Helper()
	known := map[string]oidc.Agent{}
	for _, a := range demo.DefaultAgents() {
		known[a.ID] = oidc.Agent{Roles: a.Roles}
	}
	v, err := oidc.New(oidc.Config{
		Audience: resource, Issuers: []oidc.Issuer{{URL: server.URL(), PeopleClients: demo.PeopleClients()}}, Agents: known,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
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
	return v
}

func token(t *testing.T, c *demo.Client, request demo.TokenRequest) string {
	t.Helper()
	got, err := c.Token(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return string(got.Access)
}

// noRedirects shows answers as they come.
var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

type answer struct {
	status int
	header http.Header
	body   map[string]any // nil if it is not JSON
}

func do(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := noRedirects.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	a := answer{status: response.StatusCode, header: response.Header}
	if response.Header.Get("Content-Type") == "application/json" {
		if err := json.NewDecoder(response.Body).Decode(&a.body); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func get(t *testing.T, address string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, request)
}

// post sends a form as a client; with a secret, by HTTP Basic.
func post(t *testing.T, address, id, secret string, form url.Values) answer {
	t.Helper()
	if secret == "" {
		form.Set("client_id", id)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		request.SetBasicAuth(id, secret)
	}
	return do(t, request)
}

const pkceVerifier = "a-verifier-of-at-least-forty-three-characters"

// authorizeQuery is a good authorization request for alice.
func authorizeQuery() url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {demo.CLIClient}, "redirect_uri": {"http://127.0.0.1:54321/callback"}, "state": {"s"},
		"scope": {"openid tools:call"}, "resource": {resource}, "nonce": {"n"},
		"code_challenge_method": {"S256"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(pkceVerifier)},
		"prompt": {"none"}, "login_hint": {"alice"},
	}
}

// back is what the authorization endpoint sends the browser back with.
func back(t *testing.T, a answer) url.Values {
	t.Helper()
	location, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusFound {
		t.Fatalf("answer %d to %q: %v", a.status, location, err)
	}
	return location.Query()
}

func code(t *testing.T, server *demo.Server) string {
	t.Helper()
	return back(t, get(t, server.URL()+"/authorize?"+authorizeQuery().Encode())).Get("code")
}

func codeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {"http://127.0.0.1:54321/callback"}, "code_verifier": {pkceVerifier},
	}
}
