package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

const token = "agent-token"

// client starts one of the example clients with arguments.
type client func(t *testing.T, args ...string) *exec.Cmd

func pythonClient(t *testing.T) client {
	t.Helper()
	python := need.Env(t, need.Python)
	return func(t *testing.T, args ...string) *exec.Cmd {
		t.Helper()
		return exec.CommandContext(t.Context(), python, append([]string{"python/client.py"}, args...)...)
	}
}

// typeScriptClient copies the script beside the SDK's modules, where Node looks for them.
func typeScriptClient(t *testing.T) client {
	t.Helper()
	node, modules := need.Env(t, need.Node), need.Env(t, need.TypeScriptSDK)
	dir := t.TempDir()
	for _, name := range []string{"client.ts", "package.json"} {
		text, err := os.ReadFile(filepath.Join("typescript", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, args ...string) *exec.Cmd {
		t.Helper()
		return exec.CommandContext(t.Context(), node, append([]string{filepath.Join(dir, "client.ts")}, args...)...)
	}
}

// startServer serves echo and fail at /mcp, echo alone at /mcp/files, behind a bearer token.
func startServer(t *testing.T) (url string) {
	t.Helper()
	echo := server.ServerTool{
		Tool: mcp.NewTool("echo", mcp.WithDescription("Says it again."), mcp.WithString("text", mcp.Required())),
		Handler: func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			text := r.GetString("text", "")
			return mcp.NewToolResultStructured(map[string]any{"echoed": text}, text), nil
		},
	}
	fail := server.ServerTool{
		Tool: mcp.NewTool("fail"),
		Handler: func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultError("denied by policy no-fail"), nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", endpoint(echo, fail))
	mux.Handle("/mcp/files", endpoint(echo))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func endpoint(tools ...server.ServerTool) http.Handler {
	s := server.NewMCPServer("fixture", "1", server.WithToolCapabilities(false))
	s.AddTools(tools...)
	return server.NewStreamableHTTPServer(s)
}

// run returns what the client printed and its exit code.
func run(t *testing.T, cmd *exec.Cmd, url, token string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "DEED_URL="+url, "DEED_TOKEN="+token)
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestPython(t *testing.T) {
	t.Parallel()
	testClient(t, pythonClient(t))
}

func TestTypeScript(t *testing.T) {
	t.Parallel()
	testClient(t, typeScriptClient(t))
}

func testClient(t *testing.T, start client) {
	t.Helper()
	url := startServer(t)
	const unreachable = "http://127.0.0.1:1"
	for _, tt := range []struct {
		name, url, token string
		args             []string
		code             int
		want             []string // JSON lines
		stderr           string
	}{
		{
			name: "list", args: []string{"list"},
			want: []string{
				`{"name":"echo","description":"Says it again.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}}`,
				`{"name":"fail"}`,
			},
		},
		{
			name: "list of one upstream", args: []string{"--upstream", "files", "list"},
			want: []string{`{"name":"echo"}`},
		},
		{
			name: "call", args: []string{"call", "echo", `{"text":"héllo"}`},
			want: []string{`{"isError":false,"content":[{"type":"text","text":"héllo"}],"structured":{"echoed":"héllo"}}`},
		},
		{
			name: "refused by policy", args: []string{"call", "fail"}, code: 1,
			want: []string{`{"isError":true,"content":[{"type":"text","text":"denied by policy no-fail"}],"structured":null}`},
		},
		{name: "unknown tool", args: []string{"call", "nothing"}, code: 1, stderr: "error: "},
		{name: "usage", args: []string{"call"}, code: 2, stderr: "usage: "},
		{name: "arguments that are not JSON", args: []string{"call", "echo", "{"}, code: 2, stderr: "usage: "},
		{name: "refused token", token: "wrong", args: []string{"list"}, code: 3, stderr: `the token was refused: 401 Bearer error="invalid_token"`},
		{name: "no token", token: "-", args: []string{"list"}, code: 3, stderr: "DEED_TOKEN is not set"},
		{name: "unreachable", url: unreachable, args: []string{"list"}, code: 5, stderr: "error: " + unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			callURL, callToken := tt.url, tt.token
			if callURL == "" {
				callURL = url
			}
			switch callToken {
			case "":
				callToken = token
			case "-":
				callToken = ""
			}
			stdout, stderr, code := run(t, start(t, tt.args...), callURL, callToken)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit code %d, want %d; it wrote:\n%s%s", code, tt.code, stdout, stderr)
			}
			compareLines(t, tt.want, stdout)
		})
	}
}

// compareLines compares lines of JSON by the keys that are wanted.
func compareLines(t *testing.T, want []string, stdout string) {
	t.Helper()
	lines := strings.FieldsFunc(stdout, func(r rune) bool { return r == '\n' })
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(want), stdout)
	}
	for i := range want {
		var wanted, got map[string]any
		if err := json.Unmarshal([]byte(want[i]), &wanted); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatalf("not a line of JSON: %s", lines[i])
		}
		for key, value := range wanted {
			if key == "inputSchema" {
				continue // compared below: servers add keywords
			}
			if diff := cmp.Diff(value, got[key]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", key, diff)
			}
		}
		if schema, ok := wanted["inputSchema"].(map[string]any); ok {
			gotSchema, _ := got["inputSchema"].(map[string]any)
			if diff := cmp.Diff(schema["properties"], gotSchema["properties"]); diff != "" {
				t.Errorf("input schema (-want +got):\n%s", diff)
			}
		}
	}
}
