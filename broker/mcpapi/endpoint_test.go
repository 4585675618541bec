package mcpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/tools"
)

func TestListShowsWhatTheCallerMayUse(t *testing.T) {
	t.Parallel()
	for _, version := range []string{legacy, modern} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			for _, c := range []struct {
				path, token string
				want        []string
			}{
				{"/mcp", "alice", []string{tools.WireName("files", "dotted.name"), "files__echo", "files__headered", "files__typed", "other__echo", "deed__await"}},
				{"/mcp", "bob", []string{tools.WireName("files", "dotted.name"), "files__echo", "files__headered", "files__typed", "deed__await"}},
				{"/mcp/files", "alice", []string{"dotted.name", "echo", "headered", "typed", "deed__await"}},
				{"/mcp/other", "bob", []string{"deed__await"}},
			} {
				list, err := s.connect(t, c.path, c.token, version).ListTools(t.Context(), mcp.ListToolsRequest{})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, tool := range list.Tools {
					got = append(got, tool.Name)
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Errorf("%s as %s (-want +got)\n%s", c.path, c.token, d)
				}
			}
		})
	}
}

// What an upstream says of a tool arrives byte for byte, but for its name.
func TestDefinitionsSurvive(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for path, file := range map[string]string{"/mcp": "list-all.json", "/mcp/files": "list-files.json"} {
		got := s.send(t, path, modernBody(`"one"`, "tools/list", ""), modernHeaders("tools/list", "")...)
		if got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		golden(t, file, got.body)
		if kept := strings.Replace(typed, `"typed"`, `"files__typed"`, 1); path == "/mcp" && !strings.Contains(got.body, kept) {
			t.Errorf("the definition was altered: %s", got.body)
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got)\n%s", file, d)
	}
}

func TestCallReachesTheBrokerAsSent(t *testing.T) {
	t.Parallel()
	for _, version := range []string{legacy, modern} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			for path, name := range map[string]string{"/mcp": "files__echo", "/mcp/files": "echo"} {
				s := serve(t)
				c := s.connect(t, path, "alice", version)
				var r mcp.CallToolRequest
				r.Params.Name = name
				r.Params.Arguments = json.RawMessage(`{"n":12345678901234567890,"text":"a<b"}`)
				r.Params.Meta = mcp.NewMetaFromMap(map[string]any{
					"traceparent":              "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
					"dev.deed/idempotency_key": "once",
					"dev.deed/justification":   "the customer asked \u202etwice",
				})
				result, err := c.CallTool(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if id, _ := result.Meta.AdditionalFields["dev.deed/call_id"].(string); id != "c1" {
					t.Errorf("call id %q, want c1", id)
				}
				got := s.caller.requests()[0]
				if got.Identity.Principal != "alice" || got.Tool != "files.echo" || got.Protocol != version || got.Client != "tester/2" ||
					got.IdempotencyKey != "once" || got.Justification != "the customer asked \u202etwice" || got.TraceParent != "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" {
					t.Errorf("request %+v", got)
				}
				if want := `12345678901234567890`; !bytes.Contains(got.Arguments, []byte(want)) {
					t.Errorf("arguments %s lost %s", got.Arguments, want)
				}
			}
		})
	}
}

func TestResultArrivesAsTheToolSaidIt(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.caller.call = func(context.Context, broker.Request) (*broker.Reply, error) {
		return &broker.Reply{CallID: "c7", Answer: tools.Answer{Raw: json.RawMessage(
			`{"content":[{"type":"text","text":"<a> & é","x":1.0}], "x-more":{"n":1e400}, "resultType":"complete","structuredContent":{"ok":true},` +
				`"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"up"},"vendor/k":[1],"dev.deed/call_id":"forged"}}`)}}, nil
	}
	kept := `"content":[{"type":"text","text":"<a> & é","x":1.0}],"x-more":{"n":1e400},`
	session := s.session(t, "/mcp", "alice")
	got := s.send(t, "/mcp", `{"jsonrpc":"2.0","id":12345678901234567890,"method":"tools/call","params":{"name":"files__echo"}}`, "Mcp-Session-Id", session)
	want := `{"jsonrpc":"2.0","id":12345678901234567890,"result":{` + kept + `"structuredContent":{"ok":true},"_meta":{"vendor/k":[1],"dev.deed/call_id":"c7"}}}`
	if got.body != want {
		t.Errorf("legacy\n got %s\nwant %s", got.body, want)
	}
	got = s.send(t, "/mcp", modernBody(`"a\u0062"`, "tools/call", `"name":"files__echo"`), modernHeaders("tools/call", "files__echo")...)
	want = `{"jsonrpc":"2.0","id":"a\u0062","result":{` + kept + `"resultType":"complete","structuredContent":{"ok":true},` +
		`"_meta":{"vendor/k":[1],"dev.deed/call_id":"c7","io.modelcontextprotocol/serverInfo":{"name":"deed","version":"1.0"}}}}`
	if got.body != want {
		t.Errorf("modern\n got %s\nwant %s", got.body, want)
	}
}

// A refusal has to be recorded, so calls of what is not there reach the broker
// too, and never as the name of something that is.
func TestUnknownToolsReachTheBroker(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.caller.call = func(_ context.Context, r broker.Request) (*broker.Reply, error) {
		return nil, &broker.Error{Kind: broker.NotFound, Public: "no tool " + r.Tool, CallID: "c2"}
	}
	for _, c := range []struct{ path, name, want string }{
		{"/mcp", "files__nope", "files.nope"},
		{"/mcp", "nope", ".nope"},
		{"/mcp", "files.echo", ".files.echo"},
		{"/mcp", "files__dotted.name", ".files__dotted.name"},
		{"/mcp", "FILES__echo", "FILES.echo"},
		{"/mcp", tools.WireName("files", "dotted.name"), "files.dotted.name"},
		{"/mcp/files", "nope", "files.nope"},
		{"/mcp/files", "other__echo", "files.other__echo"},
	} {
		got := s.send(t, c.path, modernBody("1", "tools/call", `"name":"`+c.name+`"`), modernHeaders("tools/call", c.name)...)
		if want := `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no tool ` + c.want + `","data":{"kind":"not_found","call_id":"c2"}}}`; got.body != want || got.status != 400 {
			t.Errorf("%s %s: %d %s", c.path, c.name, got.status, got.body)
		}
	}
}

func TestUpstreamsWithoutAPathAreNotFound(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if got := s.send(t, "/mcp/nope", "{}"); got.status != http.StatusNotFound {
		t.Errorf("status %d, want 404", got.status)
	}
	if got := s.do(t, http.MethodPut, "/mcp", ""); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") == "" {
		t.Errorf("PUT: %d %v", got.status, got.header)
	}
}

func TestChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.connect(t, "/mcp", "alice", legacy, transport.WithContinuousListening()) //nolint:staticcheck // this is the stream of the older generation
	heard := make(chan string, 8)
	c.OnNotification(func(n mcp.JSONRPCNotification) { heard <- n.Method })
	for {
		s.changed()
		select {
		case method := <-heard:
			if method != "notifications/tools/list_changed" {
				t.Errorf("heard %s", method)
			}
			return
		case <-time.After(20 * time.Millisecond): // the stream is not open yet
		case <-t.Context().Done():
			t.Fatal("nothing was announced")
		}
	}
}

func TestChangesAreAnnouncedToSubscribers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := s.connect(t, "/mcp/files", "alice", modern)
	heard := make(chan string, 8)
	c.OnNotification(func(n mcp.JSONRPCNotification) { heard <- n.Method })
	stop, err := c.ListenAsync(t.Context(), mcp.SubscriptionFilter{ToolsListChanged: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if method := <-heard; method != mcp.MethodNotificationSubscriptionsAcknowledged {
		t.Fatalf("heard %s", method)
	}
	s.changed()
	if method := <-heard; method != mcp.MethodNotificationToolsListChanged {
		t.Errorf("heard %s", method)
	}
}

// A server can shut down while clients listen.
func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	s := serve(t)
	session := s.session(t, "/mcp", "alice")
	ended := make(chan reply, 2)
	go func() { ended <- s.do(t, http.MethodGet, "/mcp", "", "Mcp-Session-Id", session) }()
	go func() {
		ended <- s.send(t, "/mcp", modernBody("1", "subscriptions/listen", `"notifications":{"toolsListChanged":true}`), modernHeaders("subscriptions/listen", "")...)
	}()
	if err := s.handler.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-ended; got.status != http.StatusOK && got.status != http.StatusNotFound {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestLeavingEndsTheCall(t *testing.T) {
	t.Parallel()
	s := serve(t)
	running, ended := make(chan bool), make(chan error)
	s.caller.call = func(ctx context.Context, _ broker.Request) (*broker.Reply, error) {
		running <- true
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, &broker.Error{Kind: broker.OutcomeUnknown}
	}
	ctx, leave := context.WithCancel(t.Context())
	c := s.connect(t, "/mcp", "alice", modern)
	go func() {
		var r mcp.CallToolRequest
		r.Params.Name = "files__echo"
		_, _ = c.CallTool(ctx, r)
	}()
	<-running
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended by %v", err)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	good := mcpapi.Config{
		Caller: &fake{}, Verifier: stub{}, Tools: tools.NewRegistry(tools.RegistryOptions{}), URL: "https://deed.example",
		Upstreams: func() []string { return nil }, Reject: func(context.Context, *agents.Rejection) {}, Logger: discard,
	}
	for name, spoil := range map[string]func(*mcpapi.Config){
		"no caller":      func(c *mcpapi.Config) { c.Caller = nil },
		"no reject":      func(c *mcpapi.Config) { c.Reject = nil },
		"url with path":  func(c *mcpapi.Config) { c.URL += "/mcp" },
		"url of nothing": func(c *mcpapi.Config) { c.URL = "deed" },
		"negative limit": func(c *mcpapi.Config) { c.Limits.MaxBytes = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			spoil(&cfg)
			if _, err := mcpapi.New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}
