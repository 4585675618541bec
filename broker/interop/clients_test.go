package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

const forClients = `
permit (principal in Role::"support", action in [Action::"fixture", Action::"desk"], resource);
permit (principal in Role::"assistant", action in [Action::"fixture", Action::"desk"], resource);
permit (principal in Role::"lead", action in [Action::"approve", Action::"read"], resource);
@id("look-first") @approvers("lead") @reason("A lead looks first.")
forbid (principal, action == Action::"desk.refund", resource) unless { context.approvals.count >= 1 };
@id("no-secrets") @reason("Secrets stay where they are.")
forbid (principal, action == Action::"desk.secret", resource) when { context.input.of == "us" };
`

// said is what a client tells of each thing that it did.
type said struct {
	Check      string         `json:"check"`
	Names      []string       `json:"names"`
	Text       string         `json:"text"`
	Structured map[string]any `json:"structured"`
	Steps      []float64      `json:"steps"`
	Renewed    int            `json:"renewed"`
	Error      bool           `json:"error"`
	Cancelled  bool           `json:"cancelled"`
}

// bench is a broker with what clients need: tools, people who approve, and tokens.
type bench struct {
	*stack
	expired string        // a token that was good once
	tokens  string        // where a good one is
	stopped chan struct{} // gets one for each call of desk.slow that was told to stop
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{stopped: make(chan struct{}, 8)}
	desk := httptest.NewServer(server.NewStreamableHTTPServer(b.desk()))
	t.Cleanup(desk.Close)
	b.stack = start(t, fixtures(t)+"  desk: { domain: work, url: "+desk.URL+"/mcp }\n", forClients)
	b.expired = b.issuer.Token(b.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{
		"roles": []string{"support"}, "iat": time.Now().Add(-2 * time.Hour).Unix(), "exp": time.Now().Add(-time.Hour).Unix(),
	}))
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(b.token())) }))
	t.Cleanup(tokens.Close)
	b.tokens = tokens.URL
	b.approveRefunds(t)
	return b
}

// desk is an upstream with a tool for each thing that the fixture has none for.
func (b *bench) desk() *server.MCPServer {
	s := server.NewMCPServer("desk", "1", server.WithToolCapabilities(false))
	type sum struct {
		Sum int `json:"sum"`
	}
	s.AddTool(mcp.NewTool("add", mcp.WithNumber("a"), mcp.WithNumber("b"), mcp.WithOutputSchema[sum]()), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultStructuredOnly(sum{r.GetInt("a", 0) + r.GetInt("b", 0)}), nil
	})
	s.AddTool(mcp.NewTool("secret", mcp.WithString("of", mcp.Required())), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("told"), nil
	})
	s.AddTool(mcp.NewTool("refund", mcp.WithString("of")), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("refunded " + r.GetString("of", "")), nil
	})
	s.AddTool(mcp.NewTool("slow", mcp.WithReadOnlyHintAnnotation(true)), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if r.Params.Meta != nil && r.Params.Meta.ProgressToken != nil {
			params := map[string]any{"progressToken": r.Params.Meta.ProgressToken, "progress": 1.0}
			if err := s.SendNotificationToClient(ctx, "notifications/progress", params); err != nil {
				return nil, err
			}
		}
		<-ctx.Done()
		b.stopped <- struct{}{}
		return nil, ctx.Err()
	})
	return s
}

// approveRefunds has bob approve whatever refund is held, until the test is over.
func (b *bench) approveRefunds(t *testing.T) {
	t.Helper()
	stop, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-over })
	go func() {
		defer close(over)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		bob := b.issuer.Token(b.issuer.PersonClaims("bob", "console", "lead"))
		for {
			select {
			case <-stop:
				return
			case <-t.Context().Done():
				return
			case <-tick.C:
			}
			var list struct {
				Items []struct {
					CallID string `json:"call_id"`
				} `json:"items"`
			}
			if b.api(t, bob, http.MethodGet, "/v1/calls?state=held&tool=desk.refund", nil, &list); len(list.Items) > 0 {
				b.approve(t, list.Items[0].CallID)
			}
		}
	}()
}

// check compares what a client tells with what it must, leaving out what it cannot do.
func (b *bench) check(t *testing.T, name string, all map[string]said, cannot ...string) {
	t.Helper()
	for check, ok := range map[string]func(said) bool{
		"refresh": func(s said) bool { return s.Renewed == 1 },
		"list": func(s said) bool {
			return slices.Contains(s.Names, "desk__add") && slices.Contains(s.Names, "deed__await")
		},
		"call":       func(s said) bool { return strings.Contains(s.Text, "simple text response") },
		"structured": func(s said) bool { return s.Structured["sum"] == 5.0 },
		"progress":   func(s said) bool { return slices.Equal(s.Steps, []float64{0, 50, 100}) },
		"elicit":     func(s said) bool { return strings.Contains(s.Text, "accept") },
		"denied": func(s said) bool {
			return s.Error && strings.Contains(s.Text, "no-secrets: Secrets stay where they are")
		},
		"held":   func(s said) bool { return strings.Contains(s.Text, "refunded "+name) },
		"cancel": func(s said) bool { return s.Cancelled },
	} {
		if slices.Contains(cannot, check) {
			continue
		}
		got, told := all[check]
		if !told || !ok(got) {
			t.Errorf("%s: %+v", check, got)
		}
	}
	if slices.Contains(cannot, "cancel") {
		return
	}
	select {
	case <-b.stopped:
	case <-time.After(patience):
		t.Fatal("the upstream was not told that the call is cancelled")
	}
	eventually(t, "the cancelled call is closed", func() bool {
		for _, c := range b.calls(t, "desk.slow") {
			return c.Outcome == "cancelled"
		}
		return false
	})
}

// tells runs a client that says a line of JSON for each thing that it did.
func (b *bench) tells(t *testing.T, cmd *exec.Cmd) map[string]said {
	t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.Env = append(os.Environ(), "DEED_URL="+b.url, "DEED_TOKEN="+b.expired, "DEED_TOKENS="+b.tokens)
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, out, lastLines(errs.Bytes(), 40))
	}
	all := map[string]said{}
	for line := range bytes.Lines(out) {
		var s said
		if err := json.Unmarshal(line, &s); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		all[s.Check] = s
	}
	return all
}

func script(name string) string { return filepath.Join("testdata", "clients", name) }

// What each client does that people really use, through the broker: the rows of the table in
// examples/clients.
func TestClients(t *testing.T) {
	t.Parallel()
	t.Run("official Python", func(t *testing.T) {
		t.Parallel()
		python := need.Env(t, need.Python)
		for _, revision := range []string{"2025-11-25", "2026-07-28"} {
			b := newBench(t)
			all := b.tells(t, exec.CommandContext(t.Context(), python, script("official.py"), revision))
			b.check(t, revision, all)
		}
	})
	t.Run("fastmcp", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.check(t, "fast", b.tells(t, exec.CommandContext(t.Context(), need.Env(t, need.FastMCP), script("fast.py"), "fast")))
	})
	t.Run("official TypeScript", func(t *testing.T) {
		t.Parallel()
		node, modules := need.Env(t, need.Node), need.Env(t, need.TypeScriptSDK)
		dir := t.TempDir()
		text, err := os.ReadFile(script("official.ts"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "official.mts"), text, 0o600)
		}
		if err == nil {
			err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
		}
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t)
		b.check(t, "ts", b.tells(t, exec.CommandContext(t.Context(), node, filepath.Join(dir, "official.mts"), "ts")))
	})
	t.Run("Inspector", func(t *testing.T) {
		t.Parallel()
		for _, era := range []string{"legacy", "modern"} {
			b := newBench(t)
			b.check(t, "inspector", b.inspect(t, era), "refresh", "progress", "elicit", "cancel")
		}
	})
	t.Run("mcp-go", func(t *testing.T) {
		t.Parallel()
		for _, version := range []string{legacy, modern} {
			b := newBench(t)
			var cannot []string
			if version == legacy { // it ends the request and sends no notifications/cancelled, which alone cancels there
				cannot = []string{"cancel"}
			}
			b.check(t, version, b.mcpGo(t, version, cannot...), cannot...)
		}
	})
	t.Run("official Go", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.check(t, "go", b.goSDK(t))
	})
}

// inspect has the Inspector's command line do what one command can: it has one header, one
// request, and nobody to ask.
func (b *bench) inspect(t *testing.T, era string) map[string]said {
	t.Helper()
	node, inspector := need.Env(t, need.Node), need.Env(t, need.Inspector)
	type named struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	run := func(args ...string) (result struct {
		Tools             []named        `json:"tools"`
		Content           []named        `json:"content"`
		StructuredContent map[string]any `json:"structuredContent"`
		IsError           bool           `json:"isError"`
	},
	) {
		t.Helper()
		all := append([]string{inspector, "--cli", b.url + "/mcp", "--transport", "http", "--protocol-era", era, "--header", "Authorization: Bearer " + b.token()}, args...)
		cmd := exec.CommandContext(t.Context(), node, all...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if jsonErr := json.Unmarshal(out, &result); jsonErr != nil {
			t.Errorf("%v: %v %v\n%s%s", args, err, jsonErr, out, errs.Bytes())
		}
		return result
	}
	call := func(tool string, args ...string) said {
		t.Helper()
		r := run(append([]string{"--method", "tools/call", "--tool-name", tool}, args...)...)
		s := said{Structured: r.StructuredContent, Error: r.IsError}
		for _, c := range r.Content {
			s.Text += c.Text
		}
		return s
	}
	var names []string
	for _, tool := range run("--method", "tools/list").Tools {
		names = append(names, tool.Name)
	}
	return map[string]said{
		"list": {Names: names}, "call": call("fixture__test_simple_text"), "structured": call("desk__add", "--tool-arg", "a=2", "b=3"),
		"denied": call("desk__secret", "--tool-arg", "of=us"), "held": call("desk__refund", "--tool-arg", "of=inspector"),
	}
}
