package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/upstream"
)

// tasked is a server over HTTP with one tool, whose calls become tasks. What it answers about these is a script.
type tasked struct {
	revision string
	answers  map[string][]string // by method, in turn: the last again and again; "hangs up", a result or an error
	slow     chan struct{}       // if there is one, tools/call is not answered before it is closed

	mu    sync.Mutex
	asked []string // methods and what of their params matters; guarded by mu
	seen  chan string
}

const (
	taskTools = `{"tools":[{"name":"dig","description":"Digs.","inputSchema":{"type":"object"},"execution":{"taskSupport":"required"}}],"resultType":"complete"}`
	dug       = `{"content":[{"type":"text","text":"dug"}]}`
	unknown   = `{"code":-32602,"message":"Task not found"}`
)

func (s *tasked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&m) != nil {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	answer := s.next(m.Method, m.Params, r)
	if answer == "hangs up" {
		panic(http.ErrAbortHandler)
	}
	if m.Method == "tools/call" && s.slow != nil {
		<-s.slow
	}
	member := `"result":`
	if strings.HasPrefix(answer, `{"code"`) {
		member = `"error":`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,` + member + answer + `}`))
}

func (s *tasked) next(method string, params json.RawMessage, r *http.Request) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch method {
	case "server/discover":
		if s.revision != "2026-07-28" {
			return `{"code":-32601,"message":"no such method"}`
		}
		return `{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"resultType":"complete","ttlMs":0,"cacheScope":"private"}`
	case "initialize":
		return `{"protocolVersion":"2025-11-25","serverInfo":{"name":"digger","version":"1"},"capabilities":{"tools":{},"tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}}}`
	case "tools/list":
		return taskTools
	}
	var p struct {
		TaskID    string          `json:"taskId"`
		Responses json.RawMessage `json:"inputResponses"`
		Task      *struct {
			TTL int64 `json:"ttl"`
		} `json:"task"`
		Meta struct {
			Capabilities struct {
				Extensions map[string]any `json:"extensions"`
			} `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	}
	_ = json.Unmarshal(params, &p) // then nothing of it is seen
	line := strings.TrimSpace(method + " " + p.TaskID + string(p.Responses))
	if method == "tools/call" && p.Task != nil && p.Task.TTL > 0 {
		line += " task"
	}
	if _, speaks := p.Meta.Capabilities.Extensions["io.modelcontextprotocol/tasks"]; speaks {
		line += " extension"
	}
	if name := r.Header.Get("Mcp-Name"); p.TaskID != "" && name != "" {
		line += " of " + name
	}
	s.asked = append(s.asked, line)
	select {
	case s.seen <- method:
	default:
	}
	script := s.answers[method]
	if len(script) == 0 {
		return `{"code":-32601,"message":"no such method"}`
	}
	if len(script) > 1 {
		s.answers[method] = script[1:]
	}
	return script[0]
}

func (s *tasked) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// digging starts an upstream with a scripted server behind it, and finds its tool.
func digging(t *testing.T, s *tasked) *tools.Tool {
	t.Helper()
	s.seen = make(chan string, 256)
	h := httptest.NewServer(s)
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	tool, err := registered(t, remote(t, h.URL, nil), tools.RegistryOptions{}).Lookup("up.dig")
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

func task(status, more string) string {
	return `{"taskId":"t-1","status":"` + status + `","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttl":60000,"ttlMs":60000,"pollInterval":1,"pollIntervalMs":1,"resultType":"task"` + more + `}`
}

func created(status string) string { return `{"task":` + task(status, "") + `}` }

// A tool that can be called as a task is, and the call ends as the task does.
func TestACallEndsAsItsTask(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		revision  string
		answers   map[string][]string
		want      string // of the answer, or
		refused   string // of the server's error, or
		uncertain string
		asked     []string
	}{
		"it ends": {
			"2025-11-25",
			map[string][]string{"tools/call": {created("working")}, "tasks/result": {dug}},
			"dug", "", "",
			[]string{"tools/call task", "tasks/result t-1"},
		},
		"the connection breaks while it is waited for": {
			"2025-11-25",
			map[string][]string{
				"tools/call": {created("working")}, "tasks/result": {"hangs up", "hangs up", dug},
				"tasks/get": {task("working", ""), task("completed", "")},
			},
			"dug", "", "",
			[]string{"tools/call task", "tasks/result t-1", "tasks/get t-1", "tasks/result t-1", "tasks/get t-1", "tasks/result t-1"},
		},
		"its error is the tool's": {
			"2025-11-25", map[string][]string{
				"tools/call": {created("working")}, "tasks/result": {`{"code":-32000,"message":"too deep"}`}, "tasks/get": {task("failed", "")},
			}, "", "too deep", "", nil,
		},
		"the server cancels it": {
			"2025-11-25", map[string][]string{
				"tools/call": {created("working")}, "tasks/result": {`{"code":-32602,"message":"no result"}`}, "tasks/get": {task("cancelled", "")},
			}, "", "the server has cancelled the task", "", nil,
		},
		"the server cancels it, and answers with nothing": {
			"2025-11-25", map[string][]string{
				"tools/call": {created("working")}, "tasks/result": {`{"_meta":{}}`}, "tasks/get": {task("cancelled", "")},
			}, "", "the server has cancelled the task", "", nil,
		},
		"it expires before its end": {
			"2025-11-25",
			map[string][]string{"tools/call": {created("working")}, "tasks/result": {unknown}, "tasks/get": {unknown}},
			"", "", "does not know the task any more", nil,
		},
		"it cannot be asked about": {
			"2025-11-25",
			map[string][]string{"tools/call": {created("working")}, "tasks/result": {"hangs up"}, "tasks/get": {"hangs up"}},
			"", "", "cannot be asked about the task", nil,
		},
		"it has no id": {
			"2025-11-25",
			map[string][]string{"tools/call": {`{"task":{"status":"working"}}`}},
			"", "", "without a usable id", nil,
		},
		"the server answers at once": {
			"2025-11-25",
			map[string][]string{"tools/call": {dug}},
			"dug", "", "",
			[]string{"tools/call task"},
		},
		"since 2026-07-28": {
			"2026-07-28",
			map[string][]string{
				"tools/call": {task("working", "")},
				"tasks/get":  {task("working", ""), "hangs up", task("completed", `,"result":`+dug)},
			},
			"dug", "", "",
			[]string{"tools/call extension", "tasks/get t-1 extension of t-1", "tasks/get t-1 extension of t-1", "tasks/get t-1 extension of t-1"},
		},
		"it fails, since 2026-07-28": {
			"2026-07-28",
			map[string][]string{"tools/call": {task("working", "")}, "tasks/get": {task("failed", `,"error":{"code":-32000,"message":"too deep"}`)}},
			"", "too deep", "", nil,
		},
		"it expires, since 2026-07-28": {
			"2026-07-28",
			map[string][]string{"tools/call": {task("working", "")}, "tasks/get": {unknown}},
			"", "", "does not know the task any more", nil,
		},
		"the server answers at once, since 2026-07-28": {
			"2026-07-28",
			map[string][]string{"tools/call": {strings.Replace(dug, "{", `{"resultType":"complete",`, 1)}},
			"dug", "", "",
			[]string{"tools/call extension"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &tasked{revision: tt.revision, answers: tt.answers}
			a, err := digging(t, s).Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{}`)})
			rpc, refused := errors.AsType[*tools.RPCError](err)
			switch {
			case tt.want != "" && (err != nil || !strings.Contains(string(a.Raw), tt.want)):
				t.Errorf("it answers %s, %v", a.Raw, err)
			case tt.refused != "" && (!refused || !strings.Contains(rpc.Message, tt.refused)):
				t.Errorf("error %v, want the server's: %s", err, tt.refused)
			case tt.uncertain != "" && (!errors.Is(err, tools.ErrUncertain) || errors.Is(err, tools.ErrNotSent) || !strings.Contains(err.Error(), tt.uncertain)):
				t.Errorf("error %v, want an uncertain one: %s", err, tt.uncertain)
			}
			if asked := s.lines(); tt.asked != nil && !slices.Equal(asked, tt.asked) {
				t.Errorf("the server was asked %q, want %q", asked, tt.asked)
			}
		})
	}
}

// A call that ends before its task cancels that, even if the server had not made it yet.
func TestACallThatEndsCancelsItsTask(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*tasked{
		"working":             {revision: "2025-11-25", answers: map[string][]string{"tools/call": {created("working")}, "tasks/result": {`{"code":-32600,"message":"not yet"}`}, "tasks/get": {task("working", "")}}},
		"not made yet":        {revision: "2025-11-25", answers: map[string][]string{"tools/call": {created("working")}}, slow: make(chan struct{})},
		"working, since 2026": {revision: "2026-07-28", answers: map[string][]string{"tools/call": {task("working", "")}, "tasks/get": {task("working", "")}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.answers["tasks/cancel"] = []string{task("cancelled", "")}
			tool := digging(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := tool.Call(ctx, tools.Call{ID: "1", Arguments: json.RawMessage(`{}`)})
				done <- err
			}()
			last := "tasks/get"
			if s.slow != nil {
				last = "tools/call"
			}
			for method := range s.seen {
				if method == last {
					break
				}
			}
			cancel()
			if err := <-done; !errors.Is(err, tools.ErrUncertain) || !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want tools.ErrUncertain", err)
			}
			if s.slow != nil {
				close(s.slow)
			}
			for { // a test that waits in vain ends by the time limit of all
				if method := <-s.seen; method == "tasks/cancel" {
					break
				}
			}
			if lines := s.lines(); !strings.HasPrefix(lines[len(lines)-1], "tasks/cancel t-1") {
				t.Errorf("the server was asked %q", lines)
			}
		})
	}
}

// What a server asks in the middle of a task reaches the caller, once.
func TestATaskAsksItsCaller(t *testing.T) {
	t.Parallel()
	asks := task("input_required", `,"inputRequests":{"how":{"method":"elicitation/create","params":{"message":"How deep?"}}}`)
	s := &tasked{revision: "2026-07-28", answers: map[string][]string{
		"tools/call": {task("working", "")}, "tasks/update": {`{"resultType":"complete"}`}, "tasks/cancel": {`{"resultType":"complete"}`},
		"tasks/get": {asks, asks, task("working", ""), task("completed", `,"result":`+dug)},
	}}
	tool := digging(t, s)
	times := 0
	a, err := tool.Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{}`), Asking: tools.Asking{
		Capabilities: json.RawMessage(`{"elicitation":{}}`),
		Ask: func(_ context.Context, questions json.RawMessage) (json.RawMessage, error) {
			times++
			if !strings.Contains(string(questions), "How deep?") {
				t.Errorf("asked %s", questions)
			}
			return json.RawMessage(`{"how":{"action":"accept"}}`), nil
		},
	}})
	if err != nil || times != 1 || !strings.Contains(string(a.Raw), "dug") {
		t.Errorf("it answers %s, %v, having asked %d times", a.Raw, err, times)
	}
	if lines := s.lines(); !slices.Contains(lines, `tasks/update t-1{"how":{"action":"accept"}} extension of t-1`) {
		t.Errorf("the server was asked %q", lines)
	}
	s.mu.Lock()
	s.answers["tasks/get"] = []string{asks}
	s.mu.Unlock()
	if _, err := tool.Call(t.Context(), tools.Call{ID: "2", Arguments: json.RawMessage(`{}`)}); !errors.Is(err, tools.ErrUnanswered) {
		t.Errorf("error %v, want tools.ErrUnanswered", err)
	}
	for method := range s.seen {
		if method == "tasks/cancel" {
			break
		}
	}
}

// TestTasksOfTheOfficialServer has the official everything server research as a task, which its tool requires,
// and ask what is meant.
func TestTasksOfTheOfficialServer(t *testing.T) {
	t.Parallel()
	u, err := upstream.NewStdio(upstream.StdioConfig{Command: need.Env(t, need.Node), Args: []string{need.Env(t, need.MCPEverything)}})
	if err != nil {
		t.Fatal(err)
	}
	r := registered(t, u, tools.RegistryOptions{})
	tool, err := r.Lookup("up.simulate-research-query")
	if err != nil {
		t.Fatal(err)
	}
	if a, err := call(t.Context(), u, tool.Definition.Name, `{"topic":"tea"}`); err != nil || !a.IsError {
		t.Errorf("without a task it answers %s, %v: the test shows nothing", a.Raw, err)
	}
	var asked string
	a, err := tool.Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{"topic":"python","ambiguous":true}`), Asking: tools.Asking{
		Capabilities: json.RawMessage(`{"elicitation":{}}`),
		Ask: func(_ context.Context, questions json.RawMessage) (json.RawMessage, error) {
			asked = string(questions)
			return json.RawMessage(`{"deed":{"action":"accept","content":{"interpretation":"snake"}}}`), nil
		},
	}})
	if err != nil || !strings.Contains(string(a.Raw), "Research Report: python (snake)") {
		t.Errorf("it answers %s, %v", a.Raw, err)
	}
	if !strings.Contains(asked, "multiple interpretations") || strings.Contains(asked, "related-task") {
		t.Errorf("it asked %s", asked)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := tool.Call(ctx, tools.Call{ID: "2", Arguments: json.RawMessage(`{"topic":"tea"}`)}); !errors.Is(err, tools.ErrUncertain) {
		t.Errorf("cancelled: %v", err)
	}
}
