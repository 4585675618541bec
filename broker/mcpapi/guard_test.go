package mcpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents"
)

func TestTokensAreRequired(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const resource = `Bearer resource_metadata="https://deed.example/.well-known/oauth-protected-resource/mcp"`
	invalid := func(k agents.Kind) string {
		return resource + `, error="invalid_token", error_description="` + (&agents.Rejection{Kind: k}).Public() + `"`
	}
	malformed := resource + `, error="invalid_request", error_description="send one token, in the Authorization header and nowhere else"`
	bound := func(k agents.Kind, code string) string {
		return strings.Replace(resource, "Bearer", "DPoP", 1) + `, algs="` + agents.DPoPAlgorithms + `", error="` + code + `", error_description="` + (&agents.Rejection{Kind: k}).Public() + `"`
	}
	for _, c := range []struct {
		header string
		status int
		kind   agents.Kind
		want   string
	}{
		{"", 401, agents.Missing, resource},
		{"Basic YTpi", 401, agents.Missing, resource},
		{"Bearer", 400, agents.Malformed, malformed},
		{"Bearer a b", 400, agents.Malformed, malformed},
		{"Bearer a\"b", 400, agents.Malformed, malformed},
		{"Bearer ===", 400, agents.Malformed, malformed},
		{"Bearer " + strings.Repeat("a", 17<<10), 400, agents.Malformed, malformed},
		{"Bearer malformed", 401, agents.Malformed, invalid(agents.Malformed)},
		{"bearer expired", 401, agents.Expired, invalid(agents.Expired)},
		{"Bearer unknown_issuer", 401, agents.UnknownIssuer, invalid(agents.UnknownIssuer)},
		{"Bearer bad_algorithm", 401, agents.BadAlgorithm, invalid(agents.BadAlgorithm)},
		{"Bearer unknown_key", 401, agents.UnknownKey, invalid(agents.UnknownKey)},
		{"Bearer bad_signature", 401, agents.BadSignature, invalid(agents.BadSignature)},
		{"Bearer wrong_audience", 401, agents.WrongAudience, invalid(agents.WrongAudience)},
		{"Bearer wrong_type", 401, agents.WrongType, invalid(agents.WrongType)},
		{"Bearer not_yet_valid", 401, agents.NotYetValid, invalid(agents.NotYetValid)},
		{"Bearer too_long", 401, agents.TooLong, invalid(agents.TooLong)},
		{"Bearer no_subject", 401, agents.NoSubject, invalid(agents.NoSubject)},
		{"Bearer bad_chain", 401, agents.BadChain, invalid(agents.BadChain)},
		{"Bearer sender_bound", 401, agents.SenderBound, bound(agents.SenderBound, "invalid_token")},
		{"Bearer unbound", 401, agents.Unbound, bound(agents.Unbound, "invalid_token")},
		{"DPoP bad_proof", 401, agents.BadProof, bound(agents.BadProof, "invalid_dpop_proof")},
		{"DPoP replayed_proof", 401, agents.ReplayedProof, bound(agents.ReplayedProof, "invalid_dpop_proof")},
		{"Bearer inactive", 401, agents.Inactive, invalid(agents.Inactive)},
		{"Bearer too_many", 503, agents.TooMany, ""},
		{"Bearer provider_trouble", 503, agents.ProviderTrouble, ""},
	} {
		got := s.send(t, "/mcp", "{}", "Authorization", c.header)
		if got.status != c.status || got.header.Get("WWW-Authenticate") != c.want || !strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%.30q: %d %s\n%s", c.header, got.status, got.header.Get("WWW-Authenticate"), got.body)
		}
		if kind := <-s.rejected; kind != c.kind {
			t.Errorf("%.30q: rejected as %s, want %s", c.header, kind, c.kind)
		}
	}
	if got := s.send(t, "/mcp/files", "{}", "Authorization", ""); !strings.Contains(got.header.Get("WWW-Authenticate"), `oauth-protected-resource/mcp/files"`) {
		t.Errorf("challenge %s", got.header.Get("WWW-Authenticate"))
	}
	if got := s.send(t, "/mcp", "{}", "Authorization", "Bearer broken"); got.status != 500 || strings.Contains(got.body, "verifier") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if n := len(s.caller.requests()); n != 0 {
		t.Errorf("%d calls reached the broker", n)
	}
}

func TestTwoTokensAreNone(t *testing.T) {
	t.Parallel()
	s := serve(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = []string{"Bearer alice", "Bearer bob"}
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", response.StatusCode)
	}
}

func TestResourceMetadata(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const want = `{"resource":"https://deed.example/mcp%s","authorization_servers":["https://idp"],"bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["ES256","EdDSA","ES384","PS256","RS256"],"resource_name":"deed"}`
	for path, part := range map[string]string{"": "", "/mcp": "", "/mcp/files": "/files"} {
		got := s.do(t, http.MethodGet, "/.well-known/oauth-protected-resource"+path, "", "Authorization", "")
		if got.status != http.StatusOK || got.body != fmt.Sprintf(want, part) {
			t.Errorf("%q: %d %s", path, got.status, got.body)
		}
	}
}

func TestForeignOriginsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for origin, want := range map[string]int{
		"":                        200,
		"https://deed.example":    200,
		s.URL:                     200,
		"http://deed.example":     403,
		"https://evil.example":    403,
		"null":                    403,
		"http://127.0.0.1:1":      403,
		"http://localhost:1":      403,
		"https://deed.example:80": 403,
	} {
		got := s.send(t, "/mcp", modernBody("1", "tools/list", ""), append(modernHeaders("tools/list", ""), "Origin", origin)...)
		if got.status != want {
			t.Errorf("origin %q: %d, want %d", origin, got.status, want)
		}
	}
}

// A web page may have its name resolved to 127.0.0.1: such a request is told by its Host.
func TestReboundHostsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for host, want := range map[string]int{"evil.example": 403, "deed.example": 401, "localhost:80": 401, "[::1]:80": 401} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("host %s: %d, want %d", host, response.StatusCode, want)
		}
	}
}
