package fastapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// patience is how long a test waits for what must happen, on a busy machine.
const patience = time.Minute

const serviceKey = "s3cr3t-key-of-the-crm"

// rig is the service and the broker in front of it, with an issuer of its own.
type rig struct {
	url    string
	issuer *agentstest.Issuer
	agent  *client.Client // copilot, for alice
}

// start runs this directory's service and configuration.
func start(t *testing.T) *rig {
	t.Helper()
	service := startService(t)
	t.Setenv("CRM_KEY", serviceKey)
	listen := need.Address(t)
	r := &rig{url: "http://" + listen}
	r.issuer = agentstest.Start(t, r.url+"/mcp")
	dir := t.TempDir()
	copyFile(t, "deed.yaml", filepath.Join(dir, "deed.yaml"), map[string]string{
		"127.0.0.1:8642": listen, "https://idp.acme.example/realms/acme": r.issuer.URL,
		"http://127.0.0.1:8000": service, "wait: 45s": "wait: 200ms",
	})
	if err := os.Mkdir(filepath.Join(dir, "policy"), 0o700); err != nil {
		t.Fatal(err)
	}
	copyFile(t, "policy/crm.cedar", filepath.Join(dir, "policy", "crm.cedar"), nil)
	cfg, err := config.Load(filepath.Join(dir, "deed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, cfg)
	token := func(context.Context) (string, error) { return r.token(), nil }
	if r.agent, err = client.New(client.Options{URL: r.url, Token: token}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.agent.Close() }) // the broker may be gone
	return r
}

// token is one of alice's through copilot.
func (r *rig) token() string {
	return r.issuer.Token(r.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{"roles": []string{"support"}}))
}

func run(t *testing.T, cfg *config.Config) {
	t.Helper()
	s, err := server.Open(t.Context(), cfg, server.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Serving():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	case <-time.After(patience):
		t.Fatal("the broker does not serve")
	}
}

// startService runs the service as it is, on a port of its own, and returns its URL.
func startService(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need.Env(t, need.FastAPI), "-m", "uvicorn", "--app-dir", "service", "crm:app", "--port", "0")
	cmd.Env = append(os.Environ(), "CRM_KEY="+serviceKey, "PYTHONDONTWRITEBYTECODE=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed by the end of the test's context
	running := regexp.MustCompile(`running on (http://[0-9.:]+)`)
	found, said := make(chan string, 1), &bytes.Buffer{}
	go func() {
		defer close(found)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			if at := running.FindStringSubmatch(s.Text()); at != nil {
				found <- at[1]
			}
			said.WriteString(s.Text() + "\n")
		}
	}()
	select {
	case url, ok := <-found:
		if !ok {
			t.Fatalf("the service does not start:\n%s", said)
		}
		return url
	case <-time.After(patience):
		t.Fatal("the service does not start")
	}
	return ""
}

func copyFile(t *testing.T, from, to string, replaced map[string]string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range replaced {
		if !bytes.Contains(text, []byte(was)) {
			t.Fatalf("%s does not say %s any more", from, was)
		}
		text = bytes.ReplaceAll(text, []byte(was), []byte(is))
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// bob asks the HTTP API as a lead.
func (r *rig) bob(t *testing.T, method, path, body string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.issuer.Token(r.issuer.PersonClaims("bob", "deed-console", "lead")))
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: HTTP %d", method, path, response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
