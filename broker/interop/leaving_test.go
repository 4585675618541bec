package interop_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// A client of the revisions with sessions that goes away has cancelled nothing: its call runs to its
// end, and what came of it is on record. A client since 2026-07-28 that goes away has.
func TestACallOutlivesTheConnectionOfItsClient(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}, 4), make(chan struct{})
	desk := server.NewMCPServer("desk", "1", server.WithToolCapabilities(false))
	desk.AddTool(mcp.NewTool("wait", mcp.WithReadOnlyHintAnnotation(true), mcp.WithString("of")), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		running <- struct{}{}
		select {
		case <-release:
			return mcp.NewToolResultText("done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	upstream := httptest.NewServer(server.NewStreamableHTTPServer(desk))
	t.Cleanup(upstream.Close)
	s := start(t, "  desk: { domain: work, url: "+upstream.URL+"/mcp }\n", `
permit (principal, action in Action::"desk", resource);
permit (principal in Role::"lead", action == Action::"read", resource);`)
	leave := func(version string) {
		t.Helper()
		c := s.connect(t, "/mcp/desk", version)
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			var r mcp.CallToolRequest
			r.Params.Name, r.Params.Arguments = "wait", map[string]any{"of": version}
			_, _ = c.CallTool(ctx, r) // its client leaves
		}()
		<-running
		cancel()
		<-over
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	leave(modern)
	eventually(t, "the call of the newer client is cancelled", func() bool {
		calls := s.calls(t, "desk.wait")
		return len(calls) == 1 && calls[0].Outcome == "cancelled"
	})
	leave(legacy)
	close(release)
	eventually(t, "the call of the older client has its result", func() bool {
		calls := s.calls(t, "desk.wait")
		return len(calls) == 2 && calls[0].Outcome == "result"
	})
}
