package mcpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/mcpapi"
)

// scoped serves with scopes that are asked for. A token that lacks some is refused by the
// broker behind the endpoint, as the real one does.
func scoped(t *testing.T) *served {
	t.Helper()
	s := serve(t, func(c *mcpapi.Config) {
		c.Scopes = mcpapi.Scopes{
			Required: []string{"tools"}, Upstreams: map[string][]string{"files": {"files"}}, Tools: map[string][]string{"files.echo": {"echo"}},
			Includes: map[string][]string{"admin": {"files", "all"}, "all": {"echo"}},
		}
		c.Verifier = scopesVerifier{}
	})
	s.caller.call = func(_ context.Context, r broker.Request) (*broker.Reply, error) {
		if len(r.LacksScopes) > 0 {
			return nil, &broker.Error{Kind: broker.Denied, Public: "lacks " + strings.Join(r.LacksScopes, " ")}
		}
		return &broker.Reply{}, nil
	}
	return s
}

// scopesVerifier takes a token for its scopes, with dots between them.
type scopesVerifier struct{}

func (scopesVerifier) Verify(_ context.Context, c agents.Credential) (*agents.Identity, error) {
	return &agents.Identity{
		Issuer: "https://idp", Principal: "alice", Chain: []agents.Actor{{ID: "copilot"}}, Scopes: strings.Split(c.Token, "."), Expires: time.Now().Add(time.Hour),
	}, nil
}

var parameter = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// challenge is the parameters of a WWW-Authenticate header.
func challenge(r reply) map[string]string {
	found := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(r.header.Get("WWW-Authenticate"), -1) {
		found[m[1]] = m[2]
	}
	return found
}

// What the authorization part of MCP says that a resource server must do, of the
// revisions 2025-11-25 and 2026-07-28, sentence by sentence. That tokens are checked is
// the matter of agents/oidc, and of the table of refusals in broker/server.
func TestAuthorizationByTheSpecification(t *testing.T) {
	t.Parallel()
	call := func(t *testing.T, s *served, path, token, tool string) reply {
		t.Helper()
		return s.send(t, path, modernBody("1", "tools/call", `"name":"`+tool+`","arguments":{"text":"x"}`), append(modernHeaders("tools/call", tool), "Authorization", "Bearer "+token)...)
	}
	rows := map[string]func(t *testing.T, s *served){
		"MUST implement RFC 9728, with the canonical resource, at the root and at each path": func(t *testing.T, s *served) {
			t.Helper()
			for path, resource := range map[string]string{"": "/mcp", "/mcp": "/mcp", "/mcp/files": "/mcp/files"} {
				got := s.do(t, http.MethodGet, "/.well-known/oauth-protected-resource"+path, "", "Authorization", "")
				var m struct {
					Resource string   `json:"resource"`
					Servers  []string `json:"authorization_servers"`
					Scopes   []string `json:"scopes_supported"`
					Methods  []string `json:"bearer_methods_supported"`
				}
				if err := json.Unmarshal([]byte(got.body), &m); err != nil || got.status != http.StatusOK || m.Resource != "https://deed.example"+resource ||
					len(m.Servers) == 0 || len(m.Methods) != 1 || m.Methods[0] != "header" || len(m.Scopes) == 0 {
					t.Errorf("%q: %d %s", path, got.status, got.body)
				}
			}
			if got := s.do(t, http.MethodGet, "/.well-known/oauth-protected-resource/mcp/nobody", "", "Authorization", ""); got.status != http.StatusNotFound {
				t.Errorf("an upstream that is not there: %d", got.status)
			}
		},
		"MUST name the metadata in WWW-Authenticate with 401, SHOULD name scopes there": func(t *testing.T, s *served) {
			t.Helper()
			for path, scope := range map[string]string{"/mcp": "tools", "/mcp/files": "files tools"} {
				got := s.send(t, path, "{}", "Authorization", "")
				c := challenge(got)
				if got.status != http.StatusUnauthorized || c["scope"] != scope || c["error"] != "" {
					t.Errorf("%s: %d %v", path, got.status, c)
				}
				where := strings.TrimPrefix(c["resource_metadata"], "https://deed.example")
				if found := s.do(t, http.MethodGet, where, "", "Authorization", ""); found.status != http.StatusOK || !strings.Contains(found.body, `"https://deed.example`+path+`"`) {
					t.Errorf("%s: %d %s", where, found.status, found.body)
				}
			}
		},
		"MUST have the token with every request, though it is of a session": func(t *testing.T, s *served) {
			t.Helper()
			session := s.session(t, "/mcp", "tools")
			for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
				if got := s.do(t, method, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Authorization", "", "Mcp-Session-Id", session); got.status != http.StatusUnauthorized {
					t.Errorf("%s: %d", method, got.status)
				}
			}
		},
		"MUST NOT take the token from the address": func(t *testing.T, s *served) {
			t.Helper()
			if got := s.send(t, "/mcp?access_token=tools", "{}", "Authorization", ""); got.status != http.StatusBadRequest || challenge(got)["error"] != "invalid_request" {
				t.Errorf("%d %v", got.status, challenge(got))
			}
		},
		"MUST answer malformed requests for authorization with 400": func(t *testing.T, s *served) {
			t.Helper()
			if got := s.send(t, "/mcp", "{}", "Authorization", "Bearer"); got.status != http.StatusBadRequest {
				t.Errorf("%d", got.status)
			}
		},
		"MUST answer 403 where scopes are missing, SHOULD name all that the operation needs": func(t *testing.T, s *served) {
			t.Helper()
			for _, c := range []struct{ token, tool, scope string }{
				{"other", "files__echo", "tools"}, // every request needs it
				{"tools", "files__echo", "echo files tools"},
				{"tools.files", "files__echo", "echo files tools"},
				{"tools.admin.unheard", "files__typed", ""}, // admin stands for files
				{"tools.all", "files__echo", "all echo files tools"},
				{"tools.admin", "files__echo", ""}, // and, by way of all, for echo
				{"tools", "other__echo", ""},
			} {
				got := call(t, s, "/mcp", c.token, c.tool)
				ch := challenge(got)
				if c.scope == "" {
					if got.status == http.StatusForbidden {
						t.Errorf("%s calls %s: %d %v", c.token, c.tool, got.status, ch)
					}
					continue
				}
				if got.status != http.StatusForbidden || ch["error"] != "insufficient_scope" || ch["scope"] != c.scope || ch["resource_metadata"] == "" {
					t.Errorf("%s calls %s: %d %v, want the scopes %q", c.token, c.tool, got.status, ch, c.scope)
				}
			}
		},
		"MUST decide on what is done, whatever the headers say": func(t *testing.T, s *served) {
			t.Helper()
			session := s.session(t, "/mcp", "tools")
			got := s.send(t, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","arguments":{"text":"x"}}}`,
				"Authorization", "Bearer tools", "Mcp-Session-Id", session, "Mcp-Method", "tools/list", "Mcp-Name", "other__echo")
			if got.status == http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		},
		"MUST NOT use sessions for authentication": func(t *testing.T, _ *served) {
			t.Helper()
			plain := serve(t)
			session := plain.session(t, "/mcp", "alice")
			if got := plain.send(t, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Authorization", "Bearer bob", "Mcp-Session-Id", session); got.status != http.StatusNotFound {
				t.Errorf("bob uses alice's session: %d", got.status)
			}
		},
	}
	for name, check := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, scoped(t))
		})
	}
}
