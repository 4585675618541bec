package sink_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit/sink"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// The OpenTelemetry Collector's own receiver takes each call once, also when it is killed
// and comes back.
func TestTheCollectorTakesCalls(t *testing.T) {
	t.Parallel()
	binary := need.Env(t, need.Collector)
	l, address := newLog(t), freeAddress(t)
	s, err := sink.Open(sink.Config{
		Name: "otlp", Log: l, Path: filepath.Join(t.TempDir(), "otlp"),
		Target: &sink.OTLP{HTTP: sink.HTTP{URL: "http://" + address + "/v1/logs", Client: &http.Client{Timeout: patience}}, Version: "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	taken := map[string]int{}
	for range 2 {
		want := called(t, l, "payments", 120)
		cmd := exec.CommandContext(t.Context(), binary, address)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for got := 0; got < len(want); {
			if !lines.Scan() {
				t.Fatalf("the collector ended: %v", lines.Err())
			}
			var record map[string]any
			if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
				continue // it is ready
			}
			id, _ := record["gen_ai.tool.call.id"].(string)
			if record["event"] != "deed.call" || record["tenant"] != "acme" || record["gen_ai.tool.name"] != "payments.refund" || record["deed.outcome"] != "result" {
				t.Fatalf("it took %v", record)
			}
			taken[id]++
			got++
		}
		for _, id := range want {
			if taken[id] != 1 {
				t.Errorf("call %s was taken %d times", id, taken[id])
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody has connected
	return l.Addr().String()
}

// rsyslog takes the messages over TCP, and finds in each what we put there.
func TestRsyslogTakesCalls(t *testing.T) {
	t.Parallel()
	binary, dir := need.Env(t, need.Rsyslog), t.TempDir()
	l, address := newLog(t), freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	config, out := filepath.Join(dir, "conf"), filepath.Join(dir, "out")
	text := fmt.Sprintf(`module(load="imtcp")
global(workDirectory="%[1]s" maxMessageSize="64k")
template(name="t" type="string" string="%%app-name%% %%msgid%% %%syslogfacility-text%%.%%syslogseverity-text%% %%structured-data%% %%msg%%\n")
ruleset(name="r") { action(type="omfile" file="%[2]s" template="t") }
input(type="imtcp" port="%[3]s" address="127.0.0.1" ruleset="r")
`, dir, out, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was killed
	want := called(t, l, "payments", 50)
	running(t, l, filepath.Join(dir, "place"), &sink.Syslog{Address: address, Hostname: "here", Version: "1"})
	var lines []string
	for deadline := time.Now().Add(patience); len(lines) < len(want); {
		if time.Now().After(deadline) {
			t.Fatalf("it has %d of %d", len(lines), len(want))
		}
		b, err := os.ReadFile(out)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		lines = strings.SplitAfter(strings.TrimSpace(string(b)), "\n")
	}
	for i, id := range want {
		head, document, ok := strings.Cut(lines[i], " {")
		if !ok || !strings.HasPrefix(head, "deed call audit.notice [deed@32473 ") || !strings.Contains(head, `call="`+id+`"`) || !json.Valid([]byte("{"+document)) {
			t.Fatalf("line %d is %q", i, lines[i])
		}
	}
}
