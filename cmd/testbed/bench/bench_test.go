package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/oidc"
	"github.com/deedbroker/deed/broker/config"
)

// TestMain lets the test binary be the children of its own tests.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "bench" && os.Args[2] == "subject" {
		if err := runSubject(context.Background(), os.Args[3], os.Stdin, os.Stdout); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1) //nolint:forbidigo // this is the child's main
		}
		return
	}
	m.Run()
}

func TestBaselinesAreMeasuredInBothGenerations(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	args := []string{"-subjects", "direct,proxy", "-connections", "1,4", "-rounds", "2", "-calls", "20", "-dir", t.TempDir(), "-json"}
	if err := Run(t.Context(), args, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	var got []situation
	for _, c := range r.Cells {
		got = append(got, c.situation)
		if c.Calls != 40 || c.CallsPerSecond <= 0 || c.P50Millis <= 0 || c.P99Millis < c.P50Millis || c.RSSEnd <= 0 || c.Throughput <= 0 {
			t.Errorf("implausible: %+v", c)
		}
	}
	var want []situation
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		for _, connections := range []int{1, 4} {
			for _, name := range []string{"direct", "proxy"} {
				want = append(want, situation{version, connections, name})
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.FsyncMillis <= 0 || len(r.Verdicts) != 0 {
		t.Errorf("fsync %v ms, verdicts %v", r.FsyncMillis, r.Verdicts)
	}
}

func TestMemoryRun(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	if err := Run(t.Context(), []string{"-subjects", "direct", "-flat", "200", "-dir", t.TempDir(), "-json"}, &out, &progress); err != nil {
		t.Fatal(err)
	}
	var g growth
	if err := json.Unmarshal(out.Bytes(), &g); err != nil {
		t.Fatal(err)
	}
	if g.Subject != "direct" || g.Calls != 200 || len(g.RSS) != memorySlices+1 || !g.Flat {
		t.Errorf("got %+v", g)
	}
}

func TestFlatness(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	steady := slices.Repeat([]int64{50 * mib}, memorySlices+1)
	leak := make([]int64, memorySlices+1)
	for i := range leak {
		leak[i] = int64(50+5*i) * mib
	}
	if !isFlat(steady) || isFlat(leak) {
		t.Errorf("steady is flat: %v; a leak is flat: %v", isFlat(steady), isFlat(leak))
	}
}

func TestAnErrorIsNeverCountedAsACall(t *testing.T) {
	t.Parallel()
	const text = "call-1-" + padding
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"tool error":     {200, `{"result":{"content":[{"type":"text","text":"` + text + `"}],"isError":true}}`},
		"spaced error":   {200, `{"result": {"content": ["` + text + `"], "isError": true}}`},
		"event stream":   {200, "event: message\ndata: {\"result\":{\"isError\":true,\"content\":[\"" + text + "\"]}}\n\n"},
		"JSON-RPC error": {200, `{"error":{"code":-32602,"message":"` + text + `"}}`},
		"another's text": {200, `{"result":{"content":[{"type":"text","text":"call-2-` + padding + `"}]}}`},
		"status":         {503, `{"result":{"content":[{"type":"text","text":"` + text + `"}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := callAgainst(t, answer.status, answer.body)
			if err == nil || !strings.Contains(err.Error(), "call was answered with") {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := callAgainst(t, 200, `{"result":{"isError":false,"content":[{"type":"text","text":"`+text+`"}]}}`); err != nil {
		t.Errorf("a good answer: %v", err)
	}
}

func callAgainst(t *testing.T, status int, body string) error {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if _, err := w.Write([]byte(body)); err != nil {
			t.Error(err)
		}
	}))
	defer web.Close()
	w, err := dial(t.Context(), &subject{url: web.URL + "/mcp", tool: toolName}, generations()[1])
	if err != nil {
		t.Fatal(err)
	}
	return errors.Join(w.call(), w.close())
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	r := &report{FsyncMillis: 1, Cells: []cell{
		{situation: situation{"g", 1, "proxy"}, CallsPerSecond: 1000, P50Millis: 1, CPUMillis: 0.2},
		{situation: situation{"g", 1, "deed"}, CallsPerSecond: 400, P50Millis: 2.4, CPUMillis: 0.4},
		{situation: situation{"g", 16, "proxy"}, CallsPerSecond: 1000, CPUMillis: 0.2},
		{situation: situation{"g", 16, "deed"}, CallsPerSecond: 690, CPUMillis: 0.3},
		{situation: situation{"g", 64, "deed"}, CallsPerSecond: 690, CPUMillis: 0.3},
	}}
	r.compareTo(baseline)
	r.judge()
	var got []string
	for _, v := range r.Verdicts {
		got = append(got, v.What+map[bool]string{true: ": met", false: ": missed"}[v.Met])
	}
	want := []string{"added p50, ms: met", "throughput, of the proxy's: missed", "CPU a call, ms: met"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var out bytes.Buffer
	if err := r.write(&out, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "MISSED g at 16: throughput, of the proxy's is 0.69, target 0.70") {
		t.Errorf("the table says:\n%s", out.String())
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	got, err := parseStat("42 (odd ) name) S 1 42 42 0 -1 4194304 100 200 0 0 150 50 900 900 20 0 8 0 100 0 0")
	if err != nil || got != 2*time.Second {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "42 (x) S 1", "42 (x) S 1 42 42 0 -1 4194304 100 200 0 0 many 50 0"} {
		if _, err := parseStat(text); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-subjects", "nginx"}, {"-connections", "0"}, {"-connections", "x"}, {"-rounds", "0"}, {"extra"}, {"-time", "-1s"}, {"-viewers", "2001"}, {"-viewers", "10", "-rate", "0"}} {
		if _, err := parseOptions(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

// The broker refuses a configuration or a token only when it runs; here is what it
// would say.
func TestDeedAcceptsWhatIsPreparedForIt(t *testing.T) {
	t.Parallel()
	idp, err := startIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := idp.stop(); err != nil {
			t.Error(err)
		}
	})
	c := deedConfig{dir: t.TempDir(), echo: []string{"testbed", "bench", "subject", "echo"}}
	if err := c.write("127.0.0.1:8642", idp.url); err != nil {
		t.Fatal(err)
	}
	parsed, err := config.Load(filepath.Join(c.dir, "deed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.PolicyFiles(); err != nil {
		t.Error(err)
	}
	token, err := idp.token(parsed.Audience())
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := oidc.New(oidc.Config{Audience: parsed.Audience(), Issuers: []oidc.Issuer{{URL: idp.url}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := verifier.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	if err := verifier.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	identity, err := verifier.Verify(ctx, agents.Credential{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if identity.Principal != "alice" || identity.Actor() != "copilot" {
		t.Errorf("the token says %q through %q", identity.Principal, identity.Actor())
	}
}
