package sink_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/deedbroker/deed/audit/sink"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// The OpenTelemetry Collector's own receiver takes each call once, also when it is killed
// and comes back.
func TestTheCollectorTakesCalls(t *testing.T) {
	t.Parallel()
	binary := need.Env(t, need.Collector)
	l, address := newLog(t), need.Address(t)
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
