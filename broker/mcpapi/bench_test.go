package mcpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// sink takes answers in place of a connection.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) Flush()                      {}

// BenchmarkCall compares one tools/call through the endpoint, with a broker that does
// nothing behind it, with the same tool served by mcp-go: without a network.
func BenchmarkCall(b *testing.B) {
	s := serve(b)
	deed := s.handler
	s.caller.call = nil
	bare := server.NewMCPServer("deed", "1.0", server.WithToolCapabilities(true))
	bare.AddTool(mcp.NewTool("echo"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	})
	mcpgo := server.NewStreamableHTTPServer(bare)
	const arguments = `"name":"echo","arguments":{"text":"hello world","list":[1,2,3]}`
	for _, c := range []struct {
		name    string
		handler http.Handler
		body    string
		headers []string
	}{
		{"deed/legacy", deed, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + arguments + `}}`, []string{"Mcp-Session-Id", s.session(b, "/mcp/files", "alice")}},
		{"mcp-go/legacy", mcpgo, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + arguments + `}}`, []string{"Mcp-Session-Id", "mcp-session-0193a1b2-0000-7000-8000-000000000000"}},
		{"deed/modern", deed, modernBody("1", "tools/call", arguments), modernHeaders("tools/call", "echo")},
		{"mcp-go/modern", mcpgo, modernBody("1", "tools/call", arguments), modernHeaders("tools/call", "echo")},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://127.0.0.1/mcp/files", strings.NewReader(c.body))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer alice")
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Accept", "application/json, text/event-stream")
				for i := 0; i < len(c.headers); i += 2 {
					r.Header.Set(c.headers[i], c.headers[i+1])
				}
				c.handler.ServeHTTP(&sink{http.Header{}}, r)
			}
		})
	}
}

// BenchmarkServer is the same over a connection.
func BenchmarkServer(b *testing.B) {
	ours, theirs := serve(b), direct(b)
	call := modernBody("1", "tools/call", `"name":"echo","arguments":{"text":"hello world"}`)
	for name, s := range map[string]*served{"deed": ours, "mcp-go": {Server: theirs}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got := s.send(b, "/mcp/files", call, modernHeaders("tools/call", "echo")...); got.status != http.StatusOK {
						b.Errorf("%d %s", got.status, got.body)
						return
					}
				}
			})
		})
	}
}
