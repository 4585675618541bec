package config_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

const minimal = "issuers: [{ url: https://idp.example }]\npolicies: [a.cedar]\n"

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func readTestdata(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestErrorsNamePlaceKeyAndFix(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/errors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("deed.yaml", readTestdata(t, file))
			if _, ok := errors.AsType[config.Problems](err); !ok {
				t.Fatalf("got %v, want Problems", err)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error quotes a secret:\n%v", err)
			}
			golden(t, "errors/"+name+".golden", err.Error()+"\n")
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("/etc/deed/deed.yaml", []byte(minimal+"data: data\ndomains: { d: {} }\nupstreams: { u: { domain: d, command: [x] } }\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Listen: "127.0.0.1:8642", URL: "http://127.0.0.1:8642", Tenant: "default", Data: "/etc/deed/data",
		Issuers: []config.Issuer{{
			URL: "https://idp.example", Claims: config.Claims{Roles: "roles"},
		}},
		Policies: []string{"/etc/deed/a.cedar"},
		Domains: map[string]config.Domain{"d": {
			Retention: config.Duration{Duration: config.Year}, PayloadRetention: config.Duration{Duration: 90 * config.Day}, Partitions: 4, Secrets: "redact",
		}},
		Upstreams: map[string]config.Upstream{"u": {
			Domain: "d", Command: []string{"x"}, Trust: config.TrustFirstUse, Concurrency: 64,
			Timeout: config.Duration{Duration: time.Minute}, Breaker: config.Breaker{Failures: 5, Cooldown: config.Duration{Duration: 15 * time.Second}},
		}},
		Holds: config.Holds{Wait: config.Duration{Duration: 45 * time.Second}, Expires: config.Duration{Duration: 15 * time.Minute}, MaxOpen: 100},
		Limits: config.Limits{
			CallsPerAgent: config.Rate{Count: 50, Per: time.Second},
			Body:          4 << 20, Answer: 16 << 20, Viewers: 256,
			TokenLifetime: config.Duration{Duration: 24 * time.Hour}, ClockSkew: config.Duration{Duration: time.Minute},
		},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.Audience(); got != "http://127.0.0.1:8642/mcp" {
		t.Errorf("audience is %q", got)
	}
}

func TestPrintShowsWhatIsInForceWithoutSecrets(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("/etc/deed/deed.yaml", readTestdata(t, "testdata/full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "full.golden", out.String())
	if got := c.Upstreams["git"].Env["GIT_TERMINAL_PROMPT"]; got != "0" {
		t.Errorf("printing changed the configuration: env is %q", got)
	}
	again, err := config.Parse("/etc/deed/deed.yaml", out.Bytes())
	if err != nil {
		t.Fatalf("what was printed cannot be read: %v", err)
	}
	var second bytes.Buffer
	if err := again.Print(&second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out.String(), second.String()); diff != "" {
		t.Errorf("printing what was printed differs:\n%s", diff)
	}
}

func TestUpstreamKinds(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("deed.yaml", readTestdata(t, "testdata/full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]config.Kind{
		"files": config.KindBuiltin, "ledger": config.KindBuiltin,
		"git": config.KindCommand, "payments": config.KindHTTP, "crm": config.KindOpenAPI,
	}
	got := map[string]config.Kind{}
	for name, u := range c.Upstreams {
		got[name] = u.Kind()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.Upstreams["ledger"].Dir; got != "data/upstreams/ledger" {
		t.Errorf("the ledger is in %q", got)
	}
	if both := (&config.Upstream{Command: []string{"x"}, URL: "https://x.example"}); both.Kind() != config.KindUnknown {
		t.Errorf("an upstream that is two things is a %v", both.Kind())
	}
}

func TestEnvironmentOverridesTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deed.yaml")
	if err := os.WriteFile(path, []byte(minimal+"listen: 127.0.0.1:1\nurl: https://file.example\ndata: /file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DEED_LISTEN", "127.0.0.1:2")
	t.Setenv("DEED_URL", "https://env.example")
	t.Setenv("DEED_DATA", filepath.Join(dir, "env"))
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Listen, c.URL, c.Data}
	if diff := cmp.Diff([]string{"127.0.0.1:2", "https://env.example", filepath.Join(dir, "env")}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	t.Setenv("DEED_URL", "http://env.example")
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), "url: is http to another machine") {
		t.Errorf("an override is not validated: %v", err)
	}
}

func TestDataIsInTheDataHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_DATA_HOME", home)
	c, err := config.Parse("deed.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(home, "deed"); c.Data != want {
		t.Errorf("data is in %q, want %q", c.Data, want)
	}
}

func TestLoadSaysWhichFileIsMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deed.yaml")
	_, err := config.Load(path)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestPolicyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b.cedar", "a.cedar", "notes.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := "issuers: [{ url: https://idp.example }]\npolicies: ['*.cedar', a.cedar]\n"
	c, err := config.Parse(filepath.Join(dir, "deed.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	files, err := c.PolicyFiles()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, "a.cedar"), filepath.Join(dir, "b.cedar")}, files); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.Policies = append(c.Policies, filepath.Join(dir, "none", "*.cedar"))
	if _, err := c.PolicyFiles(); err == nil || !strings.Contains(err.Error(), "policies[2]: no file matches") {
		t.Errorf("a glob that matches nothing: got %v", err)
	}
}
