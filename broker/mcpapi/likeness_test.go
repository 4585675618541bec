package mcpapi_test

import (
	"context"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// direct is the same tool served by mcp-go alone.
func direct(tb testing.TB) *httptest.Server {
	tb.Helper()
	s := server.NewMCPServer("deed", "1.0", server.WithToolCapabilities(true), server.WithInstructions("x"))
	s.AddTool(mcp.NewTool("echo"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("files.echo "), nil
	})
	h := httptest.NewServer(server.NewStreamableHTTPServer(s))
	tb.Cleanup(h.Close)
	return h
}

// What is answered here rather than by mcp-go is answered as mcp-go would: an
// upgrade of it that changes its answers has to show.
func TestAnswersAreLikeThoseOfMCPGo(t *testing.T) {
	t.Parallel()
	ours, theirs := serve(t), direct(t)
	call := modernBody("1", "tools/call", `"name":"echo"`)
	honest := modernHeaders("tools/call", "echo")
	for _, c := range []struct {
		name, body string
		headers    []string
	}{
		{"a call", call, honest},
		{"a list", modernBody("1", "tools/list", ""), modernHeaders("tools/list", "")},
		{"no version in the header", call, []string{"Mcp-Method", "tools/call", "Mcp-Name", "echo"}},
		{"no version in the body", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`, honest},
		{"two versions", strings.Replace(call, modern, "2027-01-01", 1), honest},
		{"an unknown version", strings.Replace(call, modern, "2027-01-01", 1), []string{"Mcp-Protocol-Version", "2027-01-01", "Mcp-Method", "tools/call", "Mcp-Name", "echo"}},
		{"no capabilities", strings.Replace(call, "clientCapabilities", "else", 1), honest},
		{"no method header", call, []string{"Mcp-Protocol-Version", modern, "Mcp-Name", "echo"}},
		{"another method header", call, modernHeaders("tools/list", "echo")},
		{"no name header", call, modernHeaders("tools/call", "")},
		{"another name header", call, modernHeaders("tools/call", "x")},
		{"resuming", call, append(honest, "Last-Event-Id", "1")},
		{"discovery", modernBody("1", "server/discover", ""), modernHeaders("server/discover", "")},
		{"an unknown method", modernBody("1", "nope", ""), modernHeaders("nope", "")},
		{"initialize", modernBody("1", "initialize", ""), modernHeaders("initialize", "")},
		{"a notification", strings.Replace(modernBody("1", "notifications/x", ""), `"id":1,`, "", 1), modernHeaders("notifications/x", "")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ours.send(t, "/mcp/files", c.body, c.headers...)
			want := (&served{Server: theirs}).send(t, "/mcp", c.body, c.headers...)
			if got.status != want.status {
				t.Errorf("status %d, mcp-go %d: %s", got.status, want.status, got.body)
			}
			if d := cmp.Diff(shape(t, want.body), shape(t, got.body)); d != "" {
				t.Errorf("(-mcp-go +deed)\n%s", d)
			}
		})
	}
}

// shape is what of an answer is the protocol's: its members, and the code of an error.
func shape(t *testing.T, body string) map[string]any {
	t.Helper()
	if body == "" {
		return nil
	}
	v := parse(t, body)
	out := map[string]any{"members": slices.Sorted(maps.Keys(v)), "id": v["id"]}
	if result, ok := v["result"].(map[string]any); ok {
		out["result"] = slices.Sorted(maps.Keys(result))
		out["type"], out["ttl"], out["scope"] = result["resultType"], result["ttlMs"], result["cacheScope"]
		meta, _ := result["_meta"].(map[string]any)
		out["server"] = meta["io.modelcontextprotocol/serverInfo"]
	}
	if failed, ok := v["error"].(map[string]any); ok {
		out["code"], out["data"] = failed["code"], failed["data"]
	}
	return out
}
