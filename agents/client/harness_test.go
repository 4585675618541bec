package client_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// verifier accepts the token "alice".
type verifier struct{}

func (verifier) Verify(_ context.Context, c agents.Credential) (*agents.Identity, error) {
	if c.Token != "alice" {
		return nil, &agents.Rejection{Kind: agents.Expired}
	}
	return &agents.Identity{Issuer: "https://idp", Principal: "alice", Chain: []agents.Actor{{ID: "copilot"}}, Expires: time.Now().Add(time.Hour)}, nil
}

// broker is what stands behind the endpoint; its functions say what calls come to.
type fakeBroker struct {
	call  func(broker.Request) (*broker.Reply, error)
	await func(callID string, waiting func(broker.Pending)) (*broker.Reply, error)
	tools *tools.Registry

	mu   sync.Mutex
	seen []broker.Request // guarded by mu
}

func (f *fakeBroker) Call(_ context.Context, r broker.Request) (*broker.Reply, error) {
	f.mu.Lock()
	f.seen = append(f.seen, r)
	f.mu.Unlock()
	if f.call == nil {
		return &broker.Reply{CallID: "c1", Answer: toolstest.Text(r.Tool + " " + string(r.Arguments))}, nil
	}
	return f.call(r)
}

func (f *fakeBroker) Await(_ context.Context, _ *agents.Identity, callID string, waiting func(broker.Pending)) (*broker.Reply, error) {
	return f.await(callID, waiting)
}

func (f *fakeBroker) Task(context.Context, *agents.Identity, string) (broker.Task, error) {
	return broker.Task{}, &broker.Error{Kind: broker.NotFound, Public: "there are no tasks"}
}

func (f *fakeBroker) Tasks(context.Context, *agents.Identity, string, int) ([]broker.Task, string, error) {
	return nil, "", nil
}

func (f *fakeBroker) CancelTask(ctx context.Context, id *agents.Identity, callID string) (broker.Task, error) {
	return f.Task(ctx, id, callID)
}

func (f *fakeBroker) Visible(context.Context, *agents.Identity) []*tools.Tool { return f.tools.Tools() }

func (f *fakeBroker) Browse(context.Context, *agents.Identity, string, tools.Listing, string) (tools.Page, error) {
	return tools.Page{}, nil
}

func (f *fakeBroker) Unsubscribe(context.Context, string, string) error { return nil }

func (f *fakeBroker) requests() []broker.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]broker.Request{}, f.seen...)
}

// serve is the real MCP endpoint before f. It returns the broker's URL.
func serve(t *testing.T, f *fakeBroker) string {
	t.Helper()
	f.tools = tools.NewRegistry(tools.RegistryOptions{})
	if err := f.tools.Add("ledger", "payments", toolstest.NewFake(), tools.Options{}); err != nil {
		t.Fatal(err)
	}
	definitions := []json.RawMessage{
		[]byte(`{"name":"refund","title":"Refund","description":"gives money back","inputSchema":{"type":"object","properties":{"amount":{"type":"integer"}}}}`),
		[]byte(`{"name":"regional","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}`),
	}
	if err := f.tools.Seed("ledger", definitions); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	handler, err := mcpapi.New(mcpapi.Config{
		Caller: f, Verifier: verifier{}, Tools: f.tools, URL: url, Upstreams: func() []string { return []string{"ledger"} },
		Reject: func(context.Context, *agents.Rejection) {}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = handler
	server.Start()
	t.Cleanup(func() {
		if err := handler.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return url
}

func token(text string) client.TokenFunc {
	return func(context.Context) (string, error) { return text, nil }
}

func connect(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	if o.Token == nil {
		o.Token = token("alice")
	}
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func pending(callID string) *broker.Reply {
	return &broker.Reply{CallID: callID, Pending: &broker.Pending{
		CallID: callID, Tool: "ledger.refund", Approvers: []string{"lead"}, Expires: time.Now().Add(time.Minute),
		Reasons: []audit.Reason{{Policy: "big-refunds", Effect: "forbid", Text: "over 100"}},
	}}
}
