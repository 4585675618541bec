package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

const digConfig = `
listen: %[1]s
url: http://%[1]s
data: data
issuers: [{ url: "http://%[2]s/demo", people_clients: [deed-cli, deed-console] }]
policies: ["*.cedar"]
domains: { work: {} }
agents: { copilot: { roles: [assistant] } }
upstreams:
  digger: { domain: work, url: "%[3]s", trust: any }
`

// digger is an MCP server of 2026-07-28 that makes a task of each call, and ends it when it is let go.
type digger struct {
	done  chan struct{} // closed when tasks end
	asked chan struct{} // takes one for each tasks/get, while there is room

	mu    sync.Mutex
	tasks int // guarded by mu
}

func (d *digger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			TaskID string `json:"taskId"`
		} `json:"params"`
	}
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&m) != nil {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	const dug = `"createdAt":"2026-11-27T10:00:00Z","lastUpdatedAt":"2026-11-27T10:00:00Z","ttlMs":3600000,"pollIntervalMs":10`
	var result string
	switch m.Method {
	case "server/discover":
		result = `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}},"resultType":"complete","ttlMs":0,"cacheScope":"private"}`
	case "tools/list":
		result = `{"tools":[{"name":"dig","description":"Digs.","inputSchema":{"type":"object"},"execution":{"taskSupport":"required"}}],"resultType":"complete"}`
	case "tools/call":
		d.mu.Lock()
		d.tasks++
		result = fmt.Sprintf(`{"resultType":"task","taskId":"dig-%d","status":"working",`+dug+`}`, d.tasks)
		d.mu.Unlock()
	case "tasks/get":
		select {
		case d.asked <- struct{}{}:
		default:
		}
		result = `{"resultType":"complete","taskId":"` + m.Params.TaskID + `","status":"working",` + dug + `}`
		select {
		case <-d.done:
			result = `{"resultType":"complete","taskId":"` + m.Params.TaskID + `","status":"completed","result":{"content":[{"type":"text","text":"found by ` + m.Params.TaskID + `"}]},` + dug + `}`
		default:
		}
	default:
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, m.ID)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
}

// everythingOverHTTP runs the official server, which makes tasks in a session of 2025-11-25.
func everythingOverHTTP(t *testing.T) *url.URL {
	t.Helper()
	node, script := need.Env(t, need.Node), need.Env(t, need.MCPEverything)
	address := need.Address(t)
	_, port, _ := strings.Cut(address, ":")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, node, script, "streamableHttp")
	cmd.Env = append(os.Environ(), "PORT="+port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() }) // it was killed
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:" + port, Path: "/mcp"}
	waitFor(t, "the everything server listens", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	})
	return u
}

// countedCalls is a proxy that counts the calls of tools.
func countedCalls(t *testing.T, to *url.URL, calls *atomic.Int32) string {
	t.Helper()
	next := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.URL.Path = to.Path }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it has gone
		}
		if bytes.Contains(body, []byte(`"method":"tools/call"`)) {
			calls.Add(1)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL + "/mcp"
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("not in time: " + what)
		}
	}
}

// TestKilledWhileATaskGoesOn kills the broker while an upstream works on a call as a task, of either generation. The
// next broker learns how the task ended; the tool runs once.
func TestKilledWhileATaskGoesOn(t *testing.T) {
	t.Parallel()
	t.Run("2026-07-28", func(t *testing.T) {
		t.Parallel()
		d := &digger{done: make(chan struct{}), asked: make(chan struct{}, 1)}
		s := httptest.NewServer(d)
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		killedWithATask(t, u, "digger.dig", `{}`, "found by dig-1", func() { close(d.done) })
	})
	t.Run("2025-11-25", func(t *testing.T) {
		t.Parallel()
		killedWithATask(t, everythingOverHTTP(t), "digger.simulate-research-query", `{"topic":"moles"}`, "Research Report: moles", nil)
	})
}

// killedWithATask has a tool called whose task ends once finish is called, or by itself.
func killedWithATask(t *testing.T, upstream *url.URL, tool, arguments, want string, finish func()) {
	t.Helper()
	h, calls := newHome(t), &atomic.Int32{}
	broker, issuer := need.Address(t), need.Address(t)
	address, yaml := "http://"+broker, filepath.Join(string(h), "deed.yaml")
	for name, text := range map[string]string{
		"deed.yaml": fmt.Sprintf(digConfig, broker, issuer, countedCalls(t, upstream, calls)),
		"all.cedar": `permit (principal, action in Action::"call", resource); permit (principal, action == Action::"read", resource);`,
	} {
		if err := os.WriteFile(filepath.Join(string(h), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := func() *process {
		t.Helper()
		p := h.start(t, "serve", "--demo-issuer", "-c", yaml)
		awaitReady(t, address)
		return p
	}
	dig := func(more ...string) (string, int) {
		t.Helper()
		out, errs, code := h.run(t, append([]string{"call", tool, "--args", arguments, "--as", "alice", "--agent", "copilot", "--url", address, "--json"}, more...)...)
		return out + errs, code
	}
	kept := func() int {
		files, err := filepath.Glob(filepath.Join(string(h), "data", "tasks", "*.task.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	served := serve()
	done := make(chan struct{})
	go func() {
		defer close(done)
		dig("--idempotency-key", "first")
	}()
	waitFor(t, "the task is kept", func() bool { return kept() == 1 })
	served.kill(t)
	<-done
	h.must(t, []string{"verify", filepath.Join(string(h), "data")}, "verified: ")

	served = serve()
	if finish != nil { // else it may end at any moment
		if said, code := dig(); code == 0 || !strings.Contains(said, "goes on in its upstream") {
			t.Errorf("the same call without a key, meanwhile: exit code %d: %s", code, said)
		}
	}
	served.kill(t)
	served = serve()
	if finish != nil {
		finish()
	}
	if said, code := dig("--idempotency-key", "first", "--wait", "60s"); code != 0 || !strings.Contains(said, want) {
		t.Errorf("the call repeated: exit code %d: %s", code, said)
	}
	waitFor(t, "the task is forgotten", func() bool { return kept() == 0 })
	if n := calls.Load(); n != 1 {
		t.Errorf("the tool was called %d times", n)
	}
	h.must(t, []string{"history", "--as", "bob", "--url", address, "--tool", tool, "--outcome", "result"}, tool)
	served.kill(t)
	h.must(t, []string{"verify", filepath.Join(string(h), "data")}, "verified: ")
}
