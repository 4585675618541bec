package interop_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	official "github.com/modelcontextprotocol/go-sdk/mcp"
)

// renewing fetches a new bearer token when one is refused.
type renewing struct {
	tokens string

	mu    sync.Mutex
	token string // guarded by mu
	n     int    // guarded by mu
}

func (r *renewing) shown(renew bool) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if renew {
		fetch, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.tokens, nil)
		var response *http.Response
		if err == nil {
			response, err = http.DefaultTransport.RoundTrip(fetch)
		}
		if err == nil {
			text, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			r.token = string(text)
			r.n++
		}
	}
	return "Bearer " + r.token
}

// RoundTrip implements [http.RoundTripper].
func (r *renewing) RoundTrip(request *http.Request) (*http.Response, error) {
	send := func(renew bool) (*http.Response, error) {
		again := request.Clone(request.Context())
		if request.GetBody != nil {
			body, err := request.GetBody()
			if err != nil {
				return nil, err
			}
			again.Body = body
		}
		again.Header.Set("Authorization", r.shown(renew))
		return http.DefaultTransport.RoundTrip(again)
	}
	response, err := send(false)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	_ = response.Body.Close()
	return send(true)
}

func (b *bench) client() (*http.Client, *renewing) {
	r := &renewing{tokens: b.tokens, token: b.expired}
	return &http.Client{Transport: r}, r
}

// person says yes to whatever a client is asked.
type person struct{}

func (person) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	var result mcp.ElicitationResult
	result.Action = mcp.ElicitationResponseActionAccept
	if r.Params.URL == "" {
		result.Content = map[string]any{"username": "u", "email": "e"}
	}
	return &result, nil
}

func (b *bench) mcpGo(t *testing.T, version string, cannot ...string) map[string]said {
	t.Helper()
	h, r := b.client()
	to, err := transport.NewStreamableHTTP(b.url+"/mcp", transport.WithHTTPBasicClient(h))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(to, client.WithElicitationHandler(person{}))
	t.Cleanup(func() { _ = c.Close() })
	steps := make(chan float64, 256)
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		if progress, ok := n.Params.AdditionalFields["progress"].(float64); ok {
			steps <- progress
		}
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var init mcp.InitializeRequest
	init.Params.ProtocolVersion, init.Params.ClientInfo = version, mcp.Implementation{Name: "mcp-go", Version: "1"}
	if _, err := c.Initialize(t.Context(), init); err != nil {
		t.Fatal(err)
	}
	all := map[string]said{"refresh": {Renewed: r.n}}
	listed, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range listed.Tools {
		names = append(names, tool.Name)
	}
	all["list"] = said{Names: names}
	call := func(ctx context.Context, tool string, arguments map[string]any) (said, error) {
		var r mcp.CallToolRequest
		r.Params.Name, r.Params.Arguments = tool, arguments
		r.Params.Meta = &mcp.Meta{ProgressToken: "of " + tool}
		result, err := c.CallTool(ctx, r)
		if err != nil {
			return said{}, err
		}
		structured, _ := result.StructuredContent.(map[string]any)
		return said{Text: fmt.Sprint(result.Content), Structured: structured, Error: result.IsError}, nil
	}
	calls(t, all, call, func() []float64 { return drain(steps) }, steps, version, cannot...)
	return all
}

func drain(steps chan float64) (drained []float64) {
	for {
		select {
		case s := <-steps:
			drained = append(drained, s)
		default:
			return drained
		}
	}
}

// calls makes the calls that every client makes.
func calls(t *testing.T, all map[string]said, call func(context.Context, string, map[string]any) (said, error), told func() []float64, steps chan float64, of string, cannot ...string) {
	t.Helper()
	for check, c := range map[string]struct {
		tool      string
		arguments map[string]any
	}{
		"call": {"fixture__test_simple_text", nil}, "structured": {"desk__add", map[string]any{"a": 2, "b": 3}},
		"elicit": {"fixture__test_elicitation", map[string]any{"message": "m"}}, "denied": {"desk__secret", map[string]any{"of": "us"}}, "held": {"desk__refund", map[string]any{"of": of}},
	} {
		s, err := call(t.Context(), c.tool, c.arguments)
		if err != nil {
			t.Errorf("%s: %v", check, err)
		}
		all[check] = s
	}
	told()
	if _, err := call(t.Context(), "fixture__test_tool_with_progress", nil); err != nil {
		t.Error(err)
	}
	var progress []float64
	eventually(t, "all progress is told", func() bool {
		progress = append(progress, told()...)
		return len(progress) >= 3
	})
	all["progress"] = said{Steps: progress}
	if slices.Contains(cannot, "cancel") {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-steps
		cancel()
	}()
	_, err := call(ctx, "desk__slow", nil)
	all["cancel"] = said{Cancelled: err != nil && ctx.Err() != nil}
	cancel()
}

func (b *bench) goSDK(t *testing.T) map[string]said {
	t.Helper()
	h, r := b.client()
	steps := make(chan float64, 256)
	c := official.NewClient(&official.Implementation{Name: "go-sdk", Version: "1"}, &official.ClientOptions{
		ElicitationHandler: func(_ context.Context, r *official.ElicitRequest) (*official.ElicitResult, error) {
			if r.Params.URL != "" || strings.Contains(r.Params.Message, "/#/calls/") {
				return &official.ElicitResult{Action: "accept"}, nil
			}
			return &official.ElicitResult{Action: "accept", Content: map[string]any{"username": "u", "email": "e"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *official.ProgressNotificationClientRequest) {
			steps <- r.Params.Progress
		},
	})
	session, err := c.Connect(t.Context(), &official.StreamableClientTransport{Endpoint: b.url + "/mcp", HTTPClient: h}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	all := map[string]said{"refresh": {Renewed: r.n}}
	listed, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range listed.Tools {
		names = append(names, tool.Name)
	}
	all["list"] = said{Names: names}
	call := func(ctx context.Context, tool string, arguments map[string]any) (said, error) {
		params := &official.CallToolParams{Name: tool, Arguments: arguments}
		params.SetProgressToken("of " + tool)
		result, err := session.CallTool(ctx, params)
		if err != nil {
			return said{}, err
		}
		structured, _ := result.StructuredContent.(map[string]any)
		s := said{Structured: structured, Error: result.IsError}
		for _, c := range result.Content {
			if text, ok := c.(*official.TextContent); ok {
				s.Text += text.Text
			}
		}
		return s, nil
	}
	calls(t, all, call, func() []float64 { return drain(steps) }, steps, "go")
	return all
}
