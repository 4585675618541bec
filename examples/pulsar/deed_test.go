package pulsar_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// patience is how long a test waits for what must happen, on a busy machine.
const patience = 2 * time.Minute

// deed is this directory's configuration in a directory and a tenant of its own.
type deed struct {
	binary, dir, url, tenant string
	pulsar                   need.SharedPulsar
	issuer                   *demo.Client
}

func configure(t *testing.T) *deed {
	t.Helper()
	d := &deed{pulsar: need.Pulsar(t), binary: need.Deed(t), dir: t.TempDir(), tenant: "example-" + uuid.NewString()}
	for _, dir := range []string{"policy", "secrets"} {
		if err := os.MkdirAll(filepath.Join(d.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	listen := need.Address(t)
	d.url = "http://" + listen
	d.copy(t, "policy/payments.cedar", nil)
	d.copy(t, "deed.yaml", map[string]string{
		"127.0.0.1:8642":                         listen,
		"https://idp.acme.example/realms/acme":   d.startIssuer(t),
		"pulsar://127.0.0.1:6650,127.0.0.1:6651": d.pulsar.URL,
		"http://127.0.0.1:8080,127.0.0.1:8081":   d.pulsar.Admin,
		"tenant: acme":                           "tenant: " + d.tenant,
		"partitions: 4":                          "partitions: 2",
		"upstreams:":                             "holds: { wait: 1s }\nupstreams:",
	})
	for _, role := range []string{"deed", "auditor", "stranger", pulsar.Superuser} {
		d.saveToken(t, role)
	}
	return d
}

func (d *deed) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// copy copies a file of this directory, with what must be replaced at least once.
func (d *deed) copy(t *testing.T, name string, replaced map[string]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range replaced {
		if !bytes.Contains(text, []byte(was)) {
			t.Fatalf("%s does not say %s any more", name, was)
		}
		text = bytes.ReplaceAll(text, []byte(was), []byte(is))
	}
	if err := os.WriteFile(d.path(name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// saveToken leaves a role's token for Pulsar where the README has it.
func (d *deed) saveToken(t *testing.T, role string) {
	t.Helper()
	token, err := d.pulsar.Keys.Token(role, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.path("secrets", role+".token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d *deed) startIssuer(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s, err := demo.Start(ctx, demo.Config{URL: "http://127.0.0.1:0/demo", Resources: []string{d.url + "/mcp"}})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
	if d.issuer, err = demo.NewClient(t.Context(), s.Secrets(), nil); err != nil {
		t.Fatal(err)
	}
	return s.URL()
}

// cli runs a verb of deed.
func (d *deed) cli(t *testing.T, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Dir = d.dir
	return output(t, cmd)
}

func output(t *testing.T, cmd *exec.Cmd) (said string, code int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// serve runs the broker until the test ends.
func (d *deed) serve(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	process := exec.CommandContext(context.WithoutCancel(t.Context()), d.binary, "serve", "-c", "deed.yaml", "--replica", "deed-1", "--allow-demo-issuer")
	process.Dir, process.Stderr = d.dir, &log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- process.Wait() }()
	t.Cleanup(func() {
		if err := process.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("stop deed: %v", err)
		}
		if err := <-exited; err != nil || t.Failed() {
			t.Errorf("deed ended with %v\n%s", err, log.String())
		}
	})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); !d.ready(t); {
		select {
		case <-tick.C:
		case err := <-exited:
			exited <- err
			t.Fatalf("deed ended before it served: %v\n%s", err, log.String())
		case <-limit:
			t.Fatal("deed does not serve")
		}
	}
}

func (d *deed) ready(t *testing.T) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := new(http.Client).Do(r)
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }() // only its status matters
	return answer.StatusCode == http.StatusOK
}

// copilot calls for alice.
func (d *deed) copilot(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{URL: d.url, Token: func(ctx context.Context) (string, error) {
		token, err := d.issuer.Token(ctx, demo.TokenRequest{User: "alice", Agents: []string{demo.Copilot}})
		if err != nil {
			return "", err
		}
		return string(token.Access), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// consume runs the reader in Python.
func (d *deed) consume(t *testing.T, token, domain string, more ...string) (lines []string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append([]string{
		"consumer.py", "--url", d.pulsar.URL, "--token-file", d.path("secrets", token+".token"), "--tenant", d.tenant, "--domain", domain,
	}, more...)
	said, code := output(t, exec.CommandContext(ctx, need.Env(t, need.PulsarPython), args...))
	return strings.Split(strings.TrimSpace(said), "\n"), code
}
