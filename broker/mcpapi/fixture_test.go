package mcpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const (
	legacy = mcp.ProtocolVersion20251125
	modern = mcp.ProtocolVersion20260728
)

// typed is a definition with everything that a typed proxy loses.
const typed = `{ "name":"typed", "title":"Typed & <raw>", "description":"keeps its schema",
  "inputSchema":{"$schema":"https://json-schema.org/draft/2020-12/schema","title":"T","type":"object",
    "allOf":[{"if":{"properties":{"kind":{"const":"a"}}},"then":{"required":["a"]}}],
    "properties":{"kind":{"type":"string"},"a":{"type":"integer","maximum":9007199254740993}}},
  "outputSchema":{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]},
  "annotations":{"readOnlyHint":true,"x-vendor":1},"x-unknown":{"name":"inner"},"_meta":{"vendor/a":[1,2.50]} }`

const headered = `{"name":"headered","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}`

// stub accepts tokens that name an identity or a kind of rejection.
type stub map[string]*agents.Identity

func (s stub) Verify(_ context.Context, c agents.Credential) (*agents.Identity, error) {
	token := c.Token
	if id, ok := s[token]; ok {
		return id, nil
	}
	if token == "broken" {
		return nil, errors.New("the verifier broke")
	}
	return nil, &agents.Rejection{Kind: agents.Kind(token)}
}

func identity(principal string) *agents.Identity {
	return &agents.Identity{Issuer: "https://idp", Principal: principal, Chain: []agents.Actor{{ID: "copilot"}}, Expires: time.Now().Add(time.Hour)}
}

// fake answers calls as its functions say.
type fake struct {
	call  func(context.Context, broker.Request) (*broker.Reply, error)
	await func(context.Context, *agents.Identity, string, func(broker.Pending)) (*broker.Reply, error)
	tools *tools.Registry

	mu   sync.Mutex
	seen []broker.Request // guarded by mu
}

func (f *fake) Call(ctx context.Context, r broker.Request) (*broker.Reply, error) {
	f.mu.Lock()
	f.seen = append(f.seen, r)
	f.mu.Unlock()
	if f.call == nil {
		return &broker.Reply{CallID: "c1", Answer: toolstest.Text(r.Tool + " " + string(r.Arguments))}, nil
	}
	return f.call(ctx, r)
}

func (f *fake) Await(ctx context.Context, id *agents.Identity, callID string, waiting func(broker.Pending)) (*broker.Reply, error) {
	return f.await(ctx, id, callID, waiting)
}

func (f *fake) Task(context.Context, *agents.Identity, string) (broker.Task, error) {
	return broker.Task{}, &broker.Error{Kind: broker.NotFound, Public: "there is none"}
}

func (f *fake) Tasks(context.Context, *agents.Identity, string, int) ([]broker.Task, string, error) {
	return nil, "", nil
}

func (f *fake) CancelTask(ctx context.Context, id *agents.Identity, callID string) (broker.Task, error) {
	return f.Task(ctx, id, callID)
}

func (f *fake) Visible(_ context.Context, id *agents.Identity) []*tools.Tool {
	var visible []*tools.Tool
	for _, t := range f.tools.Tools() {
		if id.Principal != "bob" || t.Upstream != "other" {
			visible = append(visible, t)
		}
	}
	return visible
}

func (f *fake) Browse(context.Context, *agents.Identity, string, tools.Listing, string) (tools.Page, error) {
	return tools.Page{}, nil
}

func (f *fake) Unsubscribe(context.Context, string, string) error { return nil }

func (f *fake) requests() []broker.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]broker.Request(nil), f.seen...)
}

// served is an endpoint on a real server.
type served struct {
	*httptest.Server
	caller   *fake
	handler  *mcpapi.Handler
	rejected chan agents.Kind
	changed  func()
}

func serve(tb testing.TB, change ...func(*mcpapi.Config)) *served {
	tb.Helper()
	registry := tools.NewRegistry(tools.RegistryOptions{})
	seed(tb, registry, "files", toolstest.Define("echo", `{"text":{"type":"string"}}`, "text"), json.RawMessage(typed), json.RawMessage(headered),
		toolstest.Define("dotted.name", `{}`))
	seed(tb, registry, "other", toolstest.Define("echo", `{}`))
	s := &served{caller: &fake{tools: registry}, rejected: make(chan agents.Kind, 64)}
	s.Server = httptest.NewUnstartedServer(nil)
	cfg := mcpapi.Config{
		Caller: s.caller, Tools: registry,
		Verifier:     stub{"alice": identity("alice"), "bob": identity("bob")},
		URL:          "https://deed.example",
		Issuers:      []string{"https://idp"},
		Upstreams:    func() []string { return []string{"files", "other"} },
		Reject:       func(_ context.Context, r *agents.Rejection) { s.rejected <- r.Kind },
		ToolsChanged: func(notify func()) { s.changed = notify },
		Version:      "1.0",
		Logger:       slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	h, err := mcpapi.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	s.handler, s.Config.Handler = h, h
	s.Start()
	tb.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			tb.Error(err)
		}
		s.Close()
	})
	return s
}

func seed(tb testing.TB, r *tools.Registry, upstream string, definitions ...json.RawMessage) {
	tb.Helper()
	if err := r.Add(upstream, "source", toolstest.NewFake(), tools.Options{}); err != nil {
		tb.Fatal(err)
	}
	if err := r.Seed(upstream, definitions); err != nil {
		tb.Fatal(err)
	}
}

// connect is a real client of a generation.
func (s *served) connect(tb testing.TB, path, token, version string, options ...transport.StreamableHTTPCOption) *client.Client {
	tb.Helper()
	options = append(options, transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + token}))
	c, err := client.NewStreamableHttpClient(s.URL+path, options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	if err := c.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	var r mcp.InitializeRequest
	r.Params.ProtocolVersion = version
	r.Params.ClientInfo = mcp.Implementation{Name: "tester\x00", Version: "2"}
	if _, err := c.Initialize(tb.Context(), r); err != nil {
		tb.Fatal(err)
	}
	return c
}

// reply is an HTTP answer, read.
type reply struct {
	status int
	header http.Header
	body   string
}

// send posts a body as alice, with headers in pairs that replace the usual ones; an empty value leaves one out.
func (s *served) send(tb testing.TB, path, body string, headers ...string) reply {
	tb.Helper()
	return s.do(tb, http.MethodPost, path, body, headers...)
}

func (s *served) do(tb testing.TB, method, path, body string, headers ...string) reply {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := s.Client().Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return reply{response.StatusCode, response.Header, string(text)}
}

// session opens one by hand, and gives its id.
func (s *served) session(tb testing.TB, path, token string) string {
	tb.Helper()
	got := s.send(tb, path, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}`,
		"Authorization", "Bearer "+token)
	id := got.header.Get("Mcp-Session-Id")
	if got.status != http.StatusOK || id == "" {
		tb.Fatalf("initialize: %d %s", got.status, got.body)
	}
	return id
}

// modernBody is a request of revision 2026-07-28 with more members in its params, and modernHeaders what goes with it.
func modernBody(id, method, params string) string {
	if params != "" {
		params += ","
	}
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"` + method + `","params":{` + params +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"m","version":"3"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
}

func modernHeaders(method, name string) []string {
	return []string{"Mcp-Protocol-Version", modern, "Mcp-Method", method, "Mcp-Name", name}
}

var discard = slog.New(slog.DiscardHandler)
