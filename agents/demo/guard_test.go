package demo_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents/demo"
)

func TestOnlyThisMachineIsServedAndOnlyByItsName(t *testing.T) {
	t.Parallel()
	issuer, err := demo.New(demo.Config{Resources: []string{resource}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		from, host string
		want       int
	}{
		{"127.0.0.1:5000", "127.0.0.1:8643", http.StatusOK},
		{"[::1]:5000", "127.0.0.1:8643", http.StatusOK},
		{"[::ffff:127.0.0.1]:5000", "127.0.0.1:8643", http.StatusOK},
		{"192.0.2.1:5000", "127.0.0.1:8643", http.StatusForbidden},
		{"@", "127.0.0.1:8643", http.StatusForbidden},
		{"127.0.0.1:5000", "rebound.example:8643", http.StatusMisdirectedRequest},
		{"127.0.0.1:5000", "localhost:8643", http.StatusMisdirectedRequest},
		{"127.0.0.1:5000", "127.0.0.1", http.StatusMisdirectedRequest},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/demo/.well-known/openid-configuration", nil)
		r.RemoteAddr, r.Host = row.from, row.host
		w := httptest.NewRecorder()
		issuer.ServeHTTP(w, r)
		if w.Code != row.want {
			t.Errorf("from %s for %s: %d, want %d", row.from, row.host, w.Code, row.want)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Error("another origin is let in")
		}
	}
}

func TestAnIssuerThatCouldBeReachedOrTakenForRealIsRefused(t *testing.T) {
	t.Parallel()
	good := demo.Config{Resources: []string{resource}}
	for name, change := range map[string]func(*demo.Config){
		"every address":         func(c *demo.Config) { c.URL = "http://0.0.0.0:8643/demo" },
		"no address":            func(c *demo.Config) { c.URL = "http://:8643/demo" },
		"a name":                func(c *demo.Config) { c.URL = "http://localhost:8643/demo" },
		"elsewhere":             func(c *demo.Config) { c.URL = "http://192.0.2.1:8643/demo" },
		"no port":               func(c *demo.Config) { c.URL = "http://127.0.0.1/demo" },
		"a real name":           func(c *demo.Config) { c.URL = "http://127.0.0.1:8643/realms/acme" },
		"https":                 func(c *demo.Config) { c.URL = "https://127.0.0.1:8643/demo" },
		"no resources":          func(c *demo.Config) { c.Resources = nil },
		"an agent twice":        func(c *demo.Config) { c.Agents = []demo.Agent{{ID: "a"}, {ID: "a"}} },
		"an agent as a CLI":     func(c *demo.Config) { c.Agents = []demo.Agent{{ID: demo.CLIClient}} },
		"an agent as alice":     func(c *demo.Config) { c.Agents = []demo.Agent{{ID: "alice"}} },
		"no lifetime":           func(c *demo.Config) { c.AgentLifetime = -1 },
		"a redirect to nowhere": func(c *demo.Config) { c.ConsoleRedirects = []string{"/callback"} },
	} {
		c := good
		change(&c)
		if _, err := demo.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if strings.Contains(name, "address") || name == "elsewhere" {
			if _, err := demo.Start(t.Context(), c); err == nil {
				t.Errorf("%s: listens", name)
			}
		}
	}
}

func TestEveryStartHasNewKeysAndSecrets(t *testing.T) {
	t.Parallel()
	one, other := start(t), start(t)
	keys := func(s *demo.Server) any { return get(t, s.URL()+"/jwks").body["keys"] }
	if cmp.Equal(keys(one), keys(other)) {
		t.Error("two starts have the same keys")
	}
	if one.Secrets().Clients["copilot"] == other.Secrets().Clients["copilot"] {
		t.Error("two starts have the same secrets")
	}
	for _, raw := range keys(one).([]any) {
		if raw.(map[string]any)["d"] != nil {
			t.Error("a private key is published")
		}
	}
}

func TestMetadataIsWhereClientsLook(t *testing.T) {
	t.Parallel()
	server := start(t)
	origin := strings.TrimSuffix(server.URL(), "/demo")
	for _, place := range []string{
		server.URL() + "/.well-known/openid-configuration", server.URL() + "/.well-known/oauth-authorization-server",
		origin + "/.well-known/oauth-authorization-server/demo", origin + "/.well-known/openid-configuration/demo",
	} {
		if a := get(t, place); a.status != http.StatusOK || a.body["issuer"] != server.URL() {
			t.Errorf("%s: %d %v", place, a.status, a.body["issuer"])
		}
	}
}

func TestSecretsStayWithTheirOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "demo", "secrets.json")
	if _, err := demo.LoadSecrets(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before any demo: %v", err)
	}
	want := demo.Secrets{Issuer: demo.DefaultURL, Clients: map[string]string{"copilot": "secret"}}
	for range 2 {
		if err := demo.SaveSecrets(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := demo.LoadSecrets(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := demo.LoadSecrets(path); err == nil {
			t.Error("secrets that anybody can read are used")
		}
	}
	other := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(other, []byte(`{"issuer":"https://idp.example/demo"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := demo.LoadSecrets(other); err == nil {
		t.Error("secrets of an issuer elsewhere are used")
	}
}
