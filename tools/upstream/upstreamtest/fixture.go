package upstreamtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Fixture is the server that the conformance suite expects (@modelcontextprotocol/conformance,
// the tools, resources and prompts named test_… and test://…, and the tools for tasks).
type Fixture struct {
	// MCP is the server itself.
	MCP *server.MCPServer

	toolChanges, promptChanges atomic.Int64
}

// NewFixture returns a fixture.
func NewFixture() *Fixture {
	f := &Fixture{MCP: server.NewMCPServer("conformance-fixture", "1.0.0",
		server.WithToolCapabilities(true), server.WithResourceCapabilities(true, true), server.WithPromptCapabilities(true),
		server.WithLogging(), server.WithCompletions(), server.WithElicitation(), server.WithRoots(),
		server.WithPromptCompletionProvider(completions{}), server.WithResourceCompletionProvider(completions{}))}
	f.MCP.EnableSampling()
	f.addContents()
	f.addTalkers()
	f.addAskers()
	f.addRounds()
	f.addTasks()
	f.addResources()
	f.addPrompts()
	return f
}

// Legacy are the revisions of the protocol with sessions.
func Legacy() []string {
	return []string{mcp.ProtocolVersion20251125, mcp.ProtocolVersion20250618, mcp.ProtocolVersion20250326}
}

// HTTP serves the fixture over Streamable HTTP, in these revisions of the protocol, or in all.
func (f *Fixture) HTTP(revisions ...string) http.Handler {
	options := []server.StreamableHTTPOption{server.WithEventStore(server.NewInMemoryEventStore())}
	if len(revisions) > 0 {
		options = append(options, server.WithStreamableHTTPProtocolVersions(revisions...))
	}
	return corrected(server.NewStreamableHTTPServer(f.MCP, options...))
}

// request is what corrected reads of one.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name string `json:"name"`
		URI  string `json:"uri"`
		Meta struct {
			Version      string                     `json:"io.modelcontextprotocol/protocolVersion"`
			Capabilities map[string]json.RawMessage `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	} `json:"params"`
}

// corrected answers as the suite wants it where mcp-go does not let handlers choose a
// JSON-RPC error: calls of test_missing_capability, and reading what is not there.
func corrected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var m request
		if json.Unmarshal(body, &m) != nil {
			m = request{}
		}
		_, declared := m.Params.Meta.Capabilities["sampling"]
		var failed string
		switch {
		case m.Params.Name == "test_missing_capability" && !declared:
			failed = `{"code":-32021,"message":"sampling is required","data":{"requiredCapabilities":{"sampling":{}}}}`
		case m.Method == "resources/read" && strings.Contains(m.Params.URI, "nonexistent") && mcp.IsModernProtocol(m.Params.Meta.Version):
			failed = `{"code":-32602,"message":"Resource not found","data":{"uri":"` + m.Params.URI + `"}}`
		default:
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(m.ID) + `,"error":` + failed + `}`)) // the client has gone
	})
}

type handler = func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error)

func (f *Fixture) tool(name, description string, h handler, options ...mcp.ToolOption) {
	f.MCP.AddTool(mcp.NewTool(name, append(options, mcp.WithDescription(description))...), h)
}

func text(s string) *mcp.CallToolResult { return mcp.NewToolResultText(s) }

type completions struct{}

// CompletePromptArgument implements [server.PromptCompletionProvider].
func (completions) CompletePromptArgument(_ context.Context, _ string, a mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return &mcp.Completion{Values: []string{a.Value + "ing", a.Value + "ed"}, Total: 2}, nil
}

// CompleteResourceArgument implements [server.ResourceCompletionProvider].
func (completions) CompleteResourceArgument(_ context.Context, _ string, a mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return &mcp.Completion{Values: []string{a.Value + "1"}, Total: 1}, nil
}
