package mcpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/tools/toolstest"
)

// blocking makes calls wait until they are cancelled or let go.
func blocking(s *served) (running chan string, release chan struct{}) {
	running, release = make(chan string, 8), make(chan struct{})
	s.caller.call = func(ctx context.Context, r broker.Request) (*broker.Reply, error) {
		running <- r.Identity.Principal
		select {
		case <-ctx.Done():
			return nil, &broker.Error{Kind: broker.OutcomeUnknown, Public: "cancelled"}
		case <-release:
			return &broker.Reply{CallID: "c1", Answer: toolstest.Text("done")}, nil
		}
	}
	return running, release
}

func TestOnlyTheOwnSessionCancels(t *testing.T) {
	t.Parallel()
	s := serve(t)
	running, release := blocking(s)
	const cancel = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`
	session, another, bobs := s.session(t, "/mcp", "alice"), s.session(t, "/mcp", "alice"), s.session(t, "/mcp", "bob")
	answers := make(chan reply, 2)
	call := func(body string, headers ...string) {
		go func() { answers <- s.send(t, "/mcp", body, headers...) }()
		<-running
	}
	call(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"files__echo"}}`, "Mcp-Session-Id", session)
	call(modernBody("7", "tools/call", `"name":"files__echo"`), modernHeaders("tools/call", "files__echo")...)
	for name, got := range map[string]reply{
		"another session": s.send(t, "/mcp", cancel, "Mcp-Session-Id", another),
		"another's own":   s.send(t, "/mcp", cancel, "Mcp-Session-Id", bobs, "Authorization", "Bearer bob"),
		"modern":          s.send(t, "/mcp", strings.Replace(modernBody("0", "notifications/cancelled", `"requestId":7`), `"id":0,`, "", 1), modernHeaders("notifications/cancelled", "")...),
	} {
		if got.status != http.StatusAccepted {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	select {
	case got := <-answers:
		t.Fatalf("a stranger cancelled a call: %s", got.body)
	case <-time.After(50 * time.Millisecond): // long enough for a wrong cancellation to show
	}
	s.send(t, "/mcp", cancel, "Mcp-Session-Id", session)
	if got := <-answers; !strings.Contains(got.body, "cancelled") {
		t.Errorf("the own session did not cancel: %s", got.body)
	}
	close(release)
	if got := <-answers; !strings.Contains(got.body, "done") {
		t.Errorf("the other call ended as %s", got.body)
	}
}

func TestEveryNotificationComesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	for _, version := range []string{legacy, modern} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.caller.call = func(_ context.Context, r broker.Request) (*broker.Reply, error) {
				for i := range 3 {
					if r.Notify == nil {
						break
					}
					r.Notify("notifications/progress", fmt.Appendf(nil, `{"progressToken":"upstream's","progress":%d,"total":3,"message":"é\n"}`, i))
				}
				return &broker.Reply{CallID: "c1", Answer: toolstest.Text("done")}, nil
			}
			body, headers := modernBody("1", "tools/call", `"name":"files__echo"`), modernHeaders("tools/call", "files__echo")
			body = strings.Replace(body, `"_meta":{`, `"_meta":{"progressToken":"mine",`, 1)
			if version == legacy {
				body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","_meta":{"progressToken":"mine"}}}`
				headers = []string{"Mcp-Session-Id", s.session(t, "/mcp", "alice")}
			}
			for range 50 {
				got := s.send(t, "/mcp", body, headers...)
				events := dataOf(got.body)
				if len(events) != 4 || !strings.Contains(events[3], "done") || got.header.Get("Content-Type") != "text/event-stream" {
					t.Fatalf("%d events: %s", len(events), got.body)
				}
				want := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine","progress":2,"total":3,"message":"é\n"}}`
				if events[2] != want {
					t.Fatalf("got %s\nwant %s", events[2], want)
				}
			}
			if got := s.send(t, "/mcp", strings.Replace(body, `"progressToken":"mine"`, `"x":1`, 1), headers...); got.header.Get("Content-Type") != "application/json" {
				t.Errorf("notifications without a token: %s", got.body)
			}
		})
	}
}

func dataOf(stream string) []string {
	var events []string
	lines := bufio.NewScanner(strings.NewReader(stream))
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			events = append(events, data)
		}
	}
	return events
}

func TestCallsHaveADeadline(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *mcpapi.Config) { c.Limits.CallTimeout = 10 * time.Millisecond })
	blocking(s)
	got := s.send(t, "/mcp", modernBody("1", "tools/call", `"name":"files__echo"`), modernHeaders("tools/call", "files__echo")...)
	if !strings.Contains(got.body, `"isError":true`) {
		t.Errorf("%s", got.body)
	}
}

// A tool asks a client of the revisions with sessions on the stream of its own call: no other
// stream is needed, and an answer that does not come holds nothing up for long.
func TestAClientWithoutAStreamOfItsOwnIsAsked(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		s := serve(t, func(c *mcpapi.Config) { c.Limits.CallTimeout = 2 * time.Second })
		s.caller.call = func(ctx context.Context, r broker.Request) (*broker.Reply, error) {
			said, err := r.Ask(ctx, json.RawMessage(`{"q":{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}}`))
			if err != nil {
				return nil, &broker.Error{Kind: broker.Upstream, Public: "nobody answered"}
			}
			return &broker.Reply{CallID: "c1", Answer: toolstest.Text(string(said))}, nil
		}
		opened := s.send(t, "/mcp", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{}},"clientInfo":{"name":"hand","version":"1"}}}`)
		session := opened.header.Get("Mcp-Session-Id")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo"}}`))
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range map[string]string{"Authorization": "Bearer alice", "Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Session-Id": session} {
			r.Header.Set(key, value)
		}
		response, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var last string
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			if last = data; answers && strings.Contains(data, "sampling/createMessage") {
				s.send(t, "/mcp", `{"jsonrpc":"2.0","id":"deed-1","result":{"model":"m","role":"assistant","content":{"type":"text","text":"sampled"}}}`, "Mcp-Session-Id", session)
			}
		}
		_ = response.Body.Close()
		if want := map[bool]string{true: "sampled", false: "nobody answered"}[answers]; !strings.Contains(last, want) {
			t.Errorf("it ends as %s, want %s", last, want)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *mcpapi.Config) { c.Limits.MaxBytes = 300 })
	if got := s.send(t, "/mcp", strings.Repeat(" ", 301)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", got.status)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/mcp", &endless{left: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: status %d, want 413", response.StatusCode)
	}
	if got := s.send(t, "/mcp", "{}", "Content-Type", "text/plain"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("status %d, want 415", got.status)
	}
}

type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left -= len(p); e.left < 0 {
		return 0, fmt.Errorf("read to the end")
	}
	return len(p), nil
}

func TestSessionsBelongToWhoOpenedThem(t *testing.T) {
	t.Parallel()
	s := serve(t)
	session := s.session(t, "/mcp", "alice")
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, c := range []struct {
		name, method, path, token, session string
		want                               int
	}{
		{"another identity", "POST", "/mcp", "bob", session, 404},
		{"another identity listening", "GET", "/mcp", "bob", session, 404},
		{"another identity ending it", "DELETE", "/mcp", "bob", session, 404},
		{"another path", "POST", "/mcp/files", "alice", session, 404},
		{"a guess", "POST", "/mcp", "alice", "mcp-session-0194", 404},
		{"none", "POST", "/mcp", "alice", "", 400},
		{"none listening", "GET", "/mcp", "alice", "", 400},
		{"its owner", "POST", "/mcp", "alice", session, 200},
		{"its owner ending it", "DELETE", "/mcp", "alice", session, 200},
		{"after its end", "POST", "/mcp", "alice", session, 404},
	} {
		got := s.do(t, c.method, c.path, list, "Authorization", "Bearer "+c.token, "Mcp-Session-Id", c.session)
		if got.status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got.status, got.body, c.want)
		}
		if (c.token == "bob") != (len(s.rejected) == 1) || len(s.rejected) > 0 && <-s.rejected != agents.NotYours {
			t.Errorf("%s: it is not counted as another's", c.name)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, func(c *mcpapi.Config) { c.Limits.MaxSessions, c.Limits.MaxSessionsPerIdentity = 3, 2 })
	first := s.session(t, "/mcp", "alice")
	second := s.session(t, "/mcp", "alice")
	ping := func(session string) int {
		return s.send(t, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Mcp-Session-Id", session).status
	}
	if got := ping(first); got != 200 { // so that the second is the least recently used
		t.Fatalf("ping: %d", got)
	}
	third := s.session(t, "/mcp", "alice")
	for session, want := range map[string]int{first: 200, second: 404, third: 200} {
		if got := ping(session); got != want {
			t.Errorf("ping: %d, want %d", got, want)
		}
	}
	s.session(t, "/mcp", "bob")
	got := s.send(t, "/mcp", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`, "Authorization", "Bearer bob")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("beyond the limit: %d", got.status)
	}
}

func TestStreamsAreBoundedAndEndWithTheToken(t *testing.T) {
	t.Parallel()
	short := identity("short")
	short.Expires = time.Now().Add(50 * time.Millisecond)
	s := serve(t, func(c *mcpapi.Config) {
		c.Limits.MaxStreamsPerIdentity = 1
		c.Verifier = stub{"alice": identity("alice"), "short": short}
	})
	listen := modernBody("1", "subscriptions/listen", `"notifications":{"toolsListChanged":true}`)
	headers := modernHeaders("subscriptions/listen", "")
	got := s.send(t, "/mcp", listen, append(headers, "Authorization", "Bearer short")...) // returns only because it ends
	if !strings.Contains(got.body, "acknowledged") {
		t.Errorf("%s", got.body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	session := s.session(t, "/mcp", "alice")
	r.Header.Set("Authorization", "Bearer alice")
	r.Header.Set("Mcp-Session-Id", session)
	response, err := s.Client().Do(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(err, response)
	}
	defer func() { _ = response.Body.Close() }()
	if got := s.do(t, http.MethodGet, "/mcp", "", "Mcp-Session-Id", session); got.status != http.StatusTooManyRequests {
		t.Errorf("second stream: %d, want 429", got.status)
	}
}

// Decided, recorded and run is one thing only, whatever a body is made to look like.
func TestAmbiguousBodiesAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t)
	session := s.session(t, "/mcp", "alice")
	for _, c := range []struct {
		name, body string
		code       int
	}{
		{"a name twice", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","name":"other__echo"}}`, -32700},
		{"an argument twice", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","arguments":{"a":1,"a":2}}}`, -32700},
		{"a deep argument twice", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","arguments":{"x":[{"a":1,"\u0061":2}]}}}`, -32700},
		{"a name in capitals", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","NAME":"other__echo"}}`, -32600},
		{"arguments in capitals", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo","Arguments":{}}}`, -32600},
		{"a method in capitals", `{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call"}`, -32600},
		{"params with a long s", `{"jsonrpc":"2.0","id":1,"method":"tools/list","param` + "\u017f" + `":{}}`, -32600},
		{"two values", `{"jsonrpc":"2.0","id":1,"method":"ping"}{}`, -32700},
		{"a batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, -32600},
		{"invalid utf-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"x\":\"\xff\"}", -32700},
		{"cut off", `{"jsonrpc":"2.0","id":1,"method":"ping"`, -32700},
		{"nothing", ``, -32700},
		{"an id that is null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, -32600},
		{"an id that is an object", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, -32600},
		{"another jsonrpc", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, -32600},
		{"params in an array", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, -32600},
		{"a long idempotency key", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"dev.deed/idempotency_key":"` + strings.Repeat("k", 129) + `"}}}`, -32602},
		{"a long justification", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"dev.deed/justification":"` + strings.Repeat("k", 1001) + `"}}}`, -32602},
		{"a justification that is no text", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"dev.deed/justification":7}}}`, -32600},
	} {
		got := s.send(t, "/mcp", c.body, "Mcp-Session-Id", session)
		var failed struct {
			Error struct {
				Code int `json:"code"`
			} `json:"error"`
		}
		if err := json.Unmarshal([]byte(got.body), &failed); err != nil || got.status != http.StatusBadRequest || failed.Error.Code != c.code {
			t.Errorf("%s: %d %s, want code %d", c.name, got.status, got.body, c.code)
		}
	}
	if n := len(s.caller.requests()); n != 0 {
		t.Errorf("%d calls reached the broker", n)
	}
}

func TestHeadersMustSayWhatTheBodySays(t *testing.T) {
	t.Parallel()
	s := serve(t)
	session := s.session(t, "/mcp/files", "alice")
	call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"headered","arguments":{"region":"eu"}}}`
	modernCall := modernBody("1", "tools/call", `"name":"headered","arguments":{"region":"eu"}`)
	with := func(more ...string) []string { return append(modernHeaders("tools/call", "headered"), more...) }
	for _, c := range []struct {
		name, body string
		headers    []string
		want       int
	}{
		{"legacy without", call, []string{"Mcp-Session-Id", session}, 200},
		{"legacy honest", call, []string{"Mcp-Session-Id", session, "Mcp-Method", "tools/call", "Mcp-Name", "=?base64?aGVhZGVyZWQ=?="}, 200},
		{"legacy with another method", call, []string{"Mcp-Session-Id", session, "Mcp-Method", "tools/list"}, 400},
		{"legacy with another name", call, []string{"Mcp-Session-Id", session, "Mcp-Name", "echo"}, 400},
		{"modern honest", modernCall, with("Mcp-Param-Region", "eu"), 200},
		{"modern with another name", modernCall, append(modernHeaders("tools/call", "echo"), "Mcp-Param-Region", "eu"), 400},
		{"modern without a name", modernCall, append(modernHeaders("tools/call", ""), "Mcp-Param-Region", "eu"), 400},
		{"modern with another argument", modernCall, with("Mcp-Param-Region", "us"), 400},
		{"modern without the argument", modernCall, with(), 400},
		{"the name in place of the uri", modernBody("1", "resources/read", `"uri":"a:b","name":"c"`), modernHeaders("resources/read", "c"), 400},
		{"the uri in place of the name", modernBody("1", "tools/call", `"name":"echo","uri":"headered"`), modernHeaders("tools/call", "headered"), 400},
		{"a name where there is none", modernBody("1", "tools/list", ""), modernHeaders("tools/list", "echo"), 400},
	} {
		if got := s.send(t, "/mcp/files", c.body, c.headers...); got.status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got.status, got.body, c.want)
		}
	}
}
