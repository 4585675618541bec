package server_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/client"
)

// withBad configures bad servers beside the ledger.
func withBad(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]string{
		"bad":    "tools: { hang: { timeout: 1s } }, answer: 1MiB, breaker: { failures: 100 }",
		"loops":  "answer: 1MiB",
		"hoards": "answer: 16MiB",
	} {
		r.upstreams += fmt.Sprintf("  %s: { domain: payments, command: [%q], env: { %s: %q }, %s }\n", name, self, badVariable, name, more)
	}
	r.write(t, strings.ReplaceAll(rules, `action in Action::"payments"`, `action in [Action::"payments", Action::"bad"]`))
	return r
}

// TestBadUpstreams lets a server misbehave in every way: its caller is told what became of the call, the
// record says the same, the broker stays as small as it was and others are served.
func TestBadUpstreams(t *testing.T) {
	t.Parallel()
	r := withBad(t).start(t)
	copilot := r.copilot(t)
	for _, tt := range []struct {
		tool    string
		kind    client.Kind // empty: it answers
		says    string
		outcome string
	}{
		{"fine", "", "fine", "result"},
		{"crash", client.OutcomeUnknown, "went away", "unknown"},
		{"hang", client.OutcomeUnknown, "did not answer in time", "unknown"},
		{"flood", "", "fine", "result"},
		{"lie", client.Upstream, "does not fit the tool's output schema: /sum", "failed"},
		{"big", client.OutcomeUnknown, "answered more than the broker takes", "unknown"},
		{"twice", "", "fine", "result"},
		{"other", "", "fine", "result"},
		{"garbage", "", "fine", "result"},
		{"fine", "", "fine", "result"},
	} {
		r.awaitUpstream(t, "bad")
		before := heap()
		result, err := copilot.Call(t.Context(), "bad."+tt.tool, nil, client.CallOptions{})
		if grown := heap() - before; grown > 48<<20 {
			t.Errorf("%s: the broker has grown by %d MiB", tt.tool, grown>>20)
		}
		var id string
		if refused, ok := errors.AsType[*client.Error](err); ok {
			id = refused.CallID
			if refused.Kind != tt.kind || !strings.Contains(refused.Message, tt.says) {
				t.Errorf("%s: %v, want %s: %s", tt.tool, err, tt.kind, tt.says)
			}
		} else if err != nil || tt.kind != "" || !strings.Contains(result.Text, tt.says) {
			t.Errorf("%s: %+v, %v, want %s %s", tt.tool, result, err, tt.kind, tt.says)
			continue
		} else {
			id = result.CallID
		}
		if state, outcome := r.state(t, id); outcome != tt.outcome {
			t.Errorf("%s is recorded as %s %s, want %s", tt.tool, state, outcome, tt.outcome)
		}
		if _, err := copilot.Call(t.Context(), "payments.accounts", nil, client.CallOptions{}); err != nil {
			t.Errorf("after %s another upstream fails: %v", tt.tool, err)
		}
	}
	r.checkLists(t)
}

// checkLists looks at what is said of servers whose lists never end, or are too long.
func (r *running) checkLists(t *testing.T) {
	t.Helper()
	_, body := r.get(t, "/readyz", "")
	for _, want := range []string{"loops: list tools: more than 100 pages", "hoards: list tools: more than"} {
		if !strings.Contains(body, want) {
			t.Errorf("/readyz does not say %q: %s", want, body)
		}
	}
	_, metrics := r.get(t, "/metrics", "")
	for _, want := range []string{
		`deed_upstream_up{`, `deed_upstream_breaker{`, `deed_upstream_call_duration_seconds_count{`,
		`outcome="timeout"`, `outcome="mismatch"`, `upstream="bad"`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// awaitUpstream waits until an upstream runs, again if need be.
func (r *running) awaitUpstream(t *testing.T, name string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		_, body := r.get(t, "/readyz", "")
		if !strings.Contains(body, name+": ") {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s does not run: %s", name, body)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestATrippedUpstreamIsSeen has a server fail until no calls are sent to it: its caller is told when to come back, and
// whoever looks after the broker sees it in readiness, metrics and the list of upstreams.
func TestATrippedUpstreamIsSeen(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rig.upstreams += fmt.Sprintf("  bad: { domain: payments, command: [%q], env: { %s: bad }, tools: { hang: { timeout: 1s } }, breaker: { failures: 2, cooldown: 1h } }\n", self, badVariable)
	rig.write(t, strings.ReplaceAll(rules, `action in Action::"payments"`, `action in [Action::"payments", Action::"bad"]`))
	r := rig.start(t)
	copilot := r.copilot(t)
	for _, tool := range []string{"crash", "hang"} {
		r.awaitUpstream(t, "bad")
		_, err := copilot.Call(t.Context(), "bad."+tool, nil, client.CallOptions{})
		if _, ok := errors.AsType[*client.Error](err); !ok { // unknown, or not sent if it has not been noticed yet that the process died
			t.Fatalf("%s: %v", tool, err)
		}
	}
	_, err = copilot.Call(t.Context(), "bad.fine", nil, client.CallOptions{})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Kind != client.Upstream || e.Retry != time.Hour || !strings.Contains(e.Message, "left alone for a moment; nothing was done") {
		t.Errorf("spared: %+v", err)
	}
	bob := r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead"))
	for path, want := range map[string]string{
		"/readyz": "bad: it has failed several times in a row", "/v1/upstreams": `"breaker":"open"`, "/metrics": `deed_upstream_breaker{upstream="bad"} 2`,
	} {
		if _, body := r.get(t, path, bob); !strings.Contains(body, want) {
			t.Errorf("%s has no %s: %s", path, want, body)
		}
	}
	if code, _ := r.get(t, "/readyz", ""); code != 200 {
		t.Errorf("readyz: HTTP %d: one upstream is not the broker", code)
	}
}
