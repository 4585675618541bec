package servers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/demo"
)

// start starts the server and waits until it serves all upstreams.
func (d *deed) start(t *testing.T) {
	t.Helper()
	d.process = exec.CommandContext(context.WithoutCancel(t.Context()), d.binary,
		"serve", "-c", d.path("deed.yaml"), "--allow-demo-issuer", "--log-format", "json")
	stderr, err := d.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.process.Start(); err != nil {
		t.Fatal(err)
	}
	process, exited, log := d.process, make(chan error, 1), new(lines)
	d.exited, d.log = exited, log
	go func() {
		log.read(stderr)
		exited <- process.Wait()
	}()
	d.await(t, "every upstream is served", func() bool { return d.ready(t, "serving") && d.ready(t, "upstreams") })
}

// stop tells the server to end, and checks that it did so in order.
func (d *deed) stop(t *testing.T) {
	t.Helper()
	if d.process == nil {
		return
	}
	process := d.process
	d.process = nil
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop deed: %v\n%s", err, d.log)
	}
	select {
	case err := <-d.exited:
		if err != nil {
			t.Errorf("deed ended with %v\n%s", err, d.log)
		}
	case <-time.After(patience):
		t.Errorf("deed did not stop\n%s", d.log)
		if err := process.Process.Kill(); err != nil {
			t.Error(err)
		}
		t.Log(<-d.exited)
	}
}

func (d *deed) verify(t *testing.T) {
	t.Helper()
	said, code := d.cli(t, "", "verify", "--closed", d.path("data"))
	if code != 0 || !strings.Contains(said, "verified: the history in") {
		t.Errorf("deed verify: exit code %d\n%s", code, said)
	}
	t.Log(said)
}

// cli runs a verb of deed, with a token or as whom its arguments say.
func (d *deed) cli(t *testing.T, token string, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+d.path("share"), "DEED_URL="+d.url, "DEED_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// signal sends the server a signal.
func (d *deed) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := d.process.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// token is one of alice's through copilot, or of a person's own without agents.
func (d *deed) token(t *testing.T, r demo.TokenRequest) string {
	t.Helper()
	token, err := d.issuer.Token(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return string(token.Access)
}

func (d *deed) copilot(t *testing.T) string {
	t.Helper()
	return d.token(t, demo.TokenRequest{User: "alice", Agents: []string{demo.Copilot}})
}

// request asks the HTTP API, and decodes the answer into a value.
func (d *deed) request(t *testing.T, method, path, token string, body, into any) (status int) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, d.url+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := d.http.Do(r)
	if err != nil {
		return 0 // not up
	}
	defer func() { _ = response.Body.Close() }() // only read
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return 0
	}
	if err := json.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s %s: %d: %s", method, path, response.StatusCode, answer)
	}
	return response.StatusCode
}

// ready reports whether a check of /readyz is well.
func (d *deed) ready(t *testing.T, check string) bool {
	t.Helper()
	var readiness struct {
		Checks []struct {
			Name string
			OK   bool
		}
	}
	d.request(t, http.MethodGet, "/readyz", "", nil, &readiness)
	for _, c := range readiness.Checks {
		if c.Name == check {
			return c.OK
		}
	}
	return false
}

// await waits until something is so.
func (d *deed) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case err := <-d.exited:
			d.exited <- err
			d.process = nil
			t.Fatalf("deed ended (%v) before %s\n%s", err, what, d.log)
		case <-limit:
			t.Fatalf("waited in vain until %s\n%s", what, d.log)
		}
	}
}

// awaitLog waits until a line of the log says all of the words, and returns it.
func (d *deed) awaitLog(t *testing.T, words ...string) (line string) {
	t.Helper()
	d.await(t, "the log says "+strings.Join(words, " "), func() bool {
		line = d.log.find(words...)
		return line != ""
	})
	return line
}

// pid reads the process id that a noted command left.
func (d *deed) pid(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(d.path(file))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
