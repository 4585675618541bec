package upstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
)

const fixtureVariable = "DEED_TEST_FIXTURE"

// legacyVersions are the protocol revisions before 2026-07-28.
func legacyVersions() []string { return []string{"2025-11-25", "2025-06-18", "2025-03-26"} }

// TestMain is the tests, or, started by one of them, an MCP server over stdio.
func TestMain(m *testing.M) {
	switch mode := os.Getenv(fixtureVariable); mode {
	case "":
		m.Run()
	case "exits":
		os.Exit(7) //nolint:forbidigo // a server that does not start is what is tested
	case "silent":
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "deaf":
		time.Sleep(time.Hour)
	default:
		ctx := context.Background()
		if mode == "legacy" {
			ctx = server.WithSupportedProtocolVersions(ctx, legacyVersions())
		}
		if err := server.NewStdioServer(fixture()).Listen(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // this process is the server
		}
	}
}

// fixture is an MCP server that misbehaves when asked to.
func fixture() *server.MCPServer {
	s := server.NewMCPServer("fixture", "1", server.WithToolCapabilities(true), server.WithLogging())
	add := func(name, schema string, handle server.ToolHandlerFunc) {
		s.AddTool(mcp.Tool{Name: name, Description: "A tool for tests.", RawInputSchema: json.RawMessage(schema)}, handle)
	}
	const anything = `{"type":"object"}`
	add("echo", `{"type":"object","properties":{"text":{"type":"string","x-mcp-header":"Text"}},"allOf":[{"title":"kept"}]}`, func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	})
	add("seen", anything, func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		seen, err := json.Marshal(map[string]any{"arguments": r.Params.Arguments, "meta": r.Params.Meta, "header": r.Header})
		return mcp.NewToolResultText(string(seen)), err
	})
	add("limits", anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		limits, err := os.ReadFile("/proc/self/limits")
		return mcp.NewToolResultText(string(limits)), err
	})
	add("fail", anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("it did not work"), nil
	})
	add("refuse", anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, fmt.Errorf("refused")
	})
	add("hang", anything, func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		<-ctx.Done()
		mark("cancelled")
		return nil, ctx.Err()
	})
	add("progress", anything, progress)
	add("big", anything, func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(strings.Repeat("x", r.GetInt("bytes", 0))), nil
	})
	add("grow", anything, func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		add(r.GetString("name", "grown"), anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("new"), nil
		})
		return mcp.NewToolResultText("grown"), nil
	})
	addProcessTools(add)
	return s
}

func progress(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	s := server.ServerFromContext(ctx)
	if r.Params.Meta != nil && r.Params.Meta.ProgressToken != nil {
		for i := range 3 {
			err := s.SendNotificationToClient(ctx, "notifications/progress", map[string]any{
				"progressToken": r.Params.Meta.ProgressToken, "progress": i + 1, "total": 3,
			})
			if err != nil {
				return nil, err
			}
		}
	}
	select { // mcp-go's server sends answers past the notifications that wait
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
	return mcp.NewToolResultText("done"), nil
}

// addProcessTools adds what makes sense in a child process only.
func addProcessTools(add func(string, string, server.ToolHandlerFunc)) {
	const anything = `{"type":"object"}`
	add("crash", anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		os.Exit(3) //nolint:forbidigo // a crash is what is tested
		return nil, nil
	})
	add("environment", anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(strings.Join(os.Environ(), "\n")), nil
	})
	add("flood", anything, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		_, err := io.Copy(os.Stderr, bytes.NewReader(bytes.Repeat([]byte("flood"), 1<<20)))
		return mcp.NewToolResultText("flooded"), err
	})
	add("spawn", anything, func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		child := exec.CommandContext(context.WithoutCancel(ctx), "sleep", "600")
		child.Stdout = os.Stdout // holds the pipe open, as a careless child does
		if err := child.Start(); err != nil {
			return nil, err
		}
		return mcp.NewToolResultText(fmt.Sprint(child.Process.Pid)), nil
	})
}

// mark leaves a trace that a test can find, if it asked for one.
func mark(name string) {
	if dir := os.Getenv("DEED_TEST_MARKS"); dir != "" {
		_ = os.WriteFile(dir+"/"+name, nil, 0o600)
	}
}

// child is a stdio upstream of this test binary.
func child(t *testing.T, mode string, change func(*upstream.StdioConfig)) *upstream.Server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := upstream.StdioConfig{Command: self, Env: map[string]string{fixtureVariable: mode, "GORACE": "atexit_sleep_ms=0"}}
	if change != nil {
		change(&c)
	}
	u, err := upstream.NewStdio(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// call calls a tool of a running upstream.
func call(ctx context.Context, u tools.Upstream, tool, arguments string) (tools.Answer, error) {
	return u.Call(ctx, tools.Call{ID: "1", Tool: tool, Arguments: json.RawMessage(arguments)})
}

// text is what a tool says.
func text(t *testing.T, u tools.Upstream, c tools.Call) string {
	t.Helper()
	a, err := u.Call(t.Context(), c)
	if err != nil {
		t.Fatalf("%s: %v", c.Tool, err)
	}
	var r struct {
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	if err := json.Unmarshal(a.Raw, &r); err != nil || len(r.Content) == 0 {
		t.Fatalf("%s answered %s (%v)", c.Tool, a.Raw, err)
	}
	return r.Content[0].Text
}

func subject(u tools.Upstream) toolstest.Subject {
	return toolstest.Subject{
		Upstream: u,
		Succeeds: toolstest.Case{Tool: "echo", Arguments: `{"text":"hello <&>"}`, Want: `hello`},
		Fails:    &toolstest.Case{Tool: "fail", Arguments: `{}`, Want: "did not work"},
		Refuses:  &toolstest.Case{Tool: "refuse", Arguments: `{}`},
		Hangs:    &toolstest.Case{Tool: "hang", Arguments: `{}`},
	}
}

// registered is a registry that runs one upstream named up, ready.
func registered(t *testing.T, u tools.Upstream, o tools.RegistryOptions) *tools.Registry {
	t.Helper()
	o.Restart = 10 * time.Millisecond
	r := tools.NewRegistry(o)
	if err := r.Add("up", "work", u, tools.Options{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	ready(t, r)
	return r
}

func ready(t *testing.T, r *tools.Registry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// eventually waits for what happens in another process.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 seconds: %s", what)
		}
	}
}
