package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/broker/telemetry"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestMain is the tests or, started by one of them, a server that misbehaves.
func TestMain(m *testing.M) {
	if mode := os.Getenv(badVariable); mode != "" {
		badServer(os.Stdin, os.Stdout, mode)
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	patience = 30 * time.Second
	rules    = `
@id("support") permit (principal in Role::"support", action in Action::"payments", resource);
@id("copilots") permit (principal in Role::"assistant", action in Action::"payments", resource);
@id("big") @approvers("lead") @reason("Over 100 needs a lead.")
forbid (principal, action == Action::"payments.refund", resource)
when { context.input.amount > 100 } unless { context.approvals.count >= 1 };
@id("leads") permit (principal in Role::"lead", action in [Action::"approve", Action::"read"], resource);
`
)

// rig is a configured server with an issuer, and where it keeps what it keeps.
type rig struct {
	dir, address string
	issuer       *agentstest.Issuer
	slow         string // the URL of an upstream; none if empty
	upstreams    string // more of them, as YAML
	logged       lines
	log          string // more of the configuration: where the log is
	more         string // in place of issuers and upstreams, if not empty
	domain       string // how long the domain payments keeps what, as YAML; the defaults if empty
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), address: need.Address(t)}
	r.issuer = agentstest.Start(t, r.url()+"/mcp")
	r.write(t, rules)
	return r
}

func (r *rig) url() string { return "http://" + r.address }

func (r *rig) write(t *testing.T, policies string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "all.cedar"), []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) config(t *testing.T) *config.Config {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, "ledger"), 0o700); err != nil {
		t.Fatal(err)
	}
	if r.more != "" {
		return r.siteConfig(t)
	}
	text := fmt.Sprintf(`
listen: %[1]s
url: http://%[1]s
data: data
issuers: [{ url: %[2]s, people_clients: [console] }]
policies: [all.cedar]
domains: { payments: { %[3]s } }
agents: { copilot: { roles: [assistant] } }
holds: { wait: 1s }
upstreams:
  payments: { domain: payments, builtin: ledger, dir: ledger }
`, r.address, r.issuer.URL, r.domain)
	if r.slow != "" {
		text += "  slow: { domain: payments, url: " + r.slow + " }\n"
	}
	text += r.log
	text += r.upstreams
	cfg, err := config.Parse(filepath.Join(r.dir, "deed.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// lines are log lines that many write and one reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// String is all of them.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// running is a server that runs.
type running struct {
	*rig
	*server.Server
	cancel context.CancelFunc
	ended  chan error
	http   *http.Client
}

// start opens and runs a server, and waits until it serves.
func (r *rig) start(t *testing.T) *running {
	t.Helper()
	tel, err := telemetry.Setup(telemetry.Config{Output: &r.logged, Version: "test", Replica: server.DefaultReplica})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.Open(t.Context(), r.config(t), server.Options{Version: "test", Logger: tel.Logger, Meter: tel.Meter, Tracer: tel.Tracer, Metrics: tel.Metrics})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	run := &running{rig: r, Server: s, cancel: cancel, ended: make(chan error, 1), http: &http.Client{Transport: &http.Transport{}}}
	go func() { run.ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		run.stop(t)
		run.http.CloseIdleConnections()
		if err := tel.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Serving():
	case <-time.After(patience):
		t.Fatal("it does not serve")
	}
	return run
}

// stop ends the server as SIGTERM does. Stopping twice is stopping once.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("run: %v", err)
		}
		r.ended <- nil
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
}

func (r *running) get(t *testing.T, path, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// copilot is the agent, for alice.
func (r *running) copilot(t *testing.T) *client.Client {
	t.Helper()
	token := r.issuer.Token(r.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{"roles": []string{"support"}}))
	c, err := client.New(client.Options{URL: r.url(), Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the server may be gone
	return c
}

// state is where a call stands, as bob reads it.
func (r *running) state(t *testing.T, callID string) (state, outcome string) {
	t.Helper()
	code, body := r.get(t, "/v1/calls/"+callID, r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead")))
	var c struct {
		State   string `json:"state"`
		Outcome string `json:"outcome"`
	}
	if err := json.Unmarshal([]byte(body), &c); err != nil || code != http.StatusOK {
		t.Fatalf("HTTP %d: %s", code, body)
	}
	return c.State, c.Outcome
}

func TestReadyAndMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t).start(t)
	if code, body := r.get(t, "/readyz", ""); code != http.StatusOK || !strings.Contains(body, `"ready":true`) {
		t.Errorf("readyz: HTTP %d: %s", code, body)
	}
	if _, err := r.copilot(t).Call(t.Context(), "payments.accounts", nil, client.CallOptions{}); err != nil {
		t.Fatal(err)
	}
	_, body := r.get(t, "/metrics", "")
	for _, name := range []string{"deed_history_behind", "deed_call_duration_seconds_count", "deed_log_ack_duration_seconds_count"} {
		if !strings.Contains(body, name) {
			t.Errorf("/metrics has no %s:\n%s", name, body)
		}
	}
	if strings.Contains(body, "alice") {
		t.Error("/metrics names a person")
	}
}

// TestReadySaysWhatIsNot: an issuer that is down is fatal to readiness, an upstream is not.
func TestReadySaysWhatIsNot(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	rig := newRig(t)
	rig.slow = gone.URL + "/mcp"
	gone.Close()
	rig.issuer.SetDown(true)
	r := rig.start(t) // serves, after it has waited for them
	code, body := r.get(t, "/readyz", "")
	if code != http.StatusServiceUnavailable {
		t.Errorf("readyz: HTTP %d", code)
	}
	var ready struct {
		Ready  bool `json:"ready"`
		Checks []struct {
			Name  string `json:"name"`
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		} `json:"checks"`
	}
	if err := json.Unmarshal([]byte(body), &ready); err != nil {
		t.Fatal(err)
	}
	for _, c := range ready.Checks {
		if want := !strings.Contains(c.Name, "issuer") && c.Name != "upstreams"; c.OK != want {
			t.Errorf("%s is ok: %t, want %t: %s", c.Name, c.OK, want, body)
		}
	}
	if code, _ := r.get(t, "/healthz", ""); code != http.StatusOK {
		t.Errorf("healthz: HTTP %d: it lives, if not ready", code)
	}
}

func TestHeldCallStaysHeld(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	r := rig.start(t)
	held, err := r.copilot(t).Call(t.Context(), "payments.refund", []byte(`{"payment":"pay-1002","amount":120,"reason":"x"}`), client.CallOptions{})
	if err != nil || held.Pending == nil {
		t.Fatalf("not held: %+v, %v", held, err)
	}
	r.stop(t)
	if state, outcome := rig.start(t).state(t, held.CallID); state != "held" {
		t.Errorf("after the restart the call is %s %s", state, outcome)
	}
}

func TestReloadKeepsWhatWorks(t *testing.T) {
	t.Parallel()
	r := newRig(t).start(t)
	copilot := r.copilot(t)
	call := func() error {
		_, err := copilot.Call(t.Context(), "payments.accounts", nil, client.CallOptions{})
		return err
	}
	for name, broken := range map[string]string{
		"syntax": "permit (principal", "type error": rules + `permit (principal, action == Action::"payments.refund", resource) when { context.input.amuont > 1 };`,
	} {
		r.write(t, broken)
		if err := r.Reload(t.Context(), r.config(t)); err == nil {
			t.Errorf("%s: it was reloaded", name)
		}
		if err := call(); err != nil {
			t.Errorf("%s: the policy before it is not in force: %v", name, err)
		}
	}
	r.write(t, rules+`@id("closed") @reason("Closed today.") forbid (principal, action in Action::"payments", resource);`)
	if err := r.Reload(t.Context(), r.config(t)); err != nil {
		t.Fatal(err)
	}
	if err := call(); err == nil || !strings.Contains(err.Error(), "Closed today") {
		t.Errorf("the new policy is not in force: %v", err)
	}
}
