package bridge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/agents/client/bridge"
)

// desk is a client at the other end of a bridge.
type desk struct {
	t        *testing.T
	in       *io.PipeWriter
	out      *bufio.Scanner
	done     chan error
	mu       sync.Mutex
	problems []string // guarded by mu
}

// sit starts a bridge to endpoint.
func sit(t *testing.T, endpoint string) *desk {
	t.Helper()
	d := &desk{t: t, done: make(chan error, 1)}
	d.sit(endpoint, func(context.Context) (string, error) { return "secret", nil })
	return d
}

func (d *desk) sit(endpoint string, token client.TokenFunc) {
	d.t.Helper()
	b, err := bridge.New(bridge.Config{
		Endpoint: endpoint, Token: token,
		Report: func(p string) { d.mu.Lock(); d.problems = append(d.problems, p); d.mu.Unlock() },
	})
	if err != nil {
		d.t.Fatal(err)
	}
	in, write := io.Pipe()
	read, out := io.Pipe()
	d.in, d.out = write, bufio.NewScanner(read)
	go func() {
		d.done <- b.Run(d.t.Context(), in, out)
		_ = out.Close() // of a pipe, which cannot fail
	}()
	d.t.Cleanup(func() { _, _ = write.Close(), read.Close() })
}

func (d *desk) say(line string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, line+"\n"); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) hear() string {
	d.t.Helper()
	if !d.out.Scan() {
		d.t.Fatalf("the bridge said nothing: %v", d.out.Err())
	}
	return d.out.Text()
}

func (d *desk) leave() error {
	d.t.Helper()
	if err := d.in.Close(); err != nil {
		d.t.Fatal(err)
	}
	for d.out.Scan() {
		d.t.Errorf("the bridge said more: %s", d.out.Text())
	}
	return <-d.done
}

func (d *desk) reported() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.problems, "\n")
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

func body(t *testing.T, r *http.Request) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

func reply(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text) // the test sees what arrives
}

const modernCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a__b","arguments":{"n":1.50},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	t.Parallel()
	d := sit(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := body(t, r); got != modernCall {
			t.Errorf("got %s", got)
		}
		for name, want := range map[string]string{"Authorization": "Bearer secret", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "a__b"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		reply(w, "{\"jsonrpc\":\"2.0\",\n \"id\":1,\n \"result\":{\"x\":1.50}}")
	}))
	d.say(modernCall)
	if got, want := d.hear(), `{"jsonrpc":"2.0","id":1,"result":{"x":1.50}}`; got != want {
		t.Errorf("got %s, want it on one line: %s", got, want)
	}
	if err := d.leave(); err != nil {
		t.Error(err)
	}
}

func TestStreamedAnswerKeepsItsNotifications(t *testing.T) {
	t.Parallel()
	d := sit(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, ": hello\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n"+
			"data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{}}\n\n")
	}))
	d.say(modernCall)
	for _, want := range []string{`{"jsonrpc":"2.0","method":"notifications/progress"}`, `{"jsonrpc":"2.0","id":1,"result":{}}`} {
		if got := d.hear(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if err := d.leave(); err != nil {
		t.Error(err)
	}
}

func TestRequestsWithoutAnAnswerAreAnsweredWithAnError(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		serve http.HandlerFunc
		want  string // in the error
	}{
		"expired token": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"title":"Unauthorized","detail":"the token has expired","kind":"unauthenticated"}`)
		}, "the token has expired"},
		"not a broker":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "200 OK"},
		"other json":     {func(w http.ResponseWriter, _ *http.Request) { reply(w, `{"hello":1}`) }, "not of the protocol"},
		"broken":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the call may have been made"},
		"ended too soon": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/event-stream") }, "the call may have been made"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sit(t, serve(t, tt.serve))
			d.say(modernCall)
			got := d.hear()
			var answer struct {
				ID    int `json:"id"`
				Error struct {
					Message string `json:"message"`
				} `json:"error"`
			}
			if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.ID != 1 || !strings.Contains(answer.Error.Message, tt.want) {
				t.Errorf("got %s, want an error with %q", got, tt.want)
			}
			if err := d.leave(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(d.reported(), tt.want) {
				t.Errorf("reported %q", d.reported())
			}
		})
	}
}

// A token that the broker refuses, because it was withdrawn or the broker has other issuers' keys now, is
// renewed, and the request sent again; one that cannot be renewed is refused for good.
func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	var seen []string
	d := &desk{t: t, done: make(chan error, 1)}
	d.sit(serve(t, func(w http.ResponseWriter, r *http.Request) {
		text := body(t, r)
		seen = append(seen, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != "Bearer fresh" || strings.Contains(text, "a__c") {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"title":"Unauthorized","detail":"the token is not valid","kind":"unauthenticated"}`)
			return
		}
		if text != modernCall {
			t.Errorf("got %s", text)
		}
		reply(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}), func(ctx context.Context) (string, error) {
		if client.Refused(ctx, "stale") || client.Refused(ctx, "fresh") {
			return "fresh", nil
		}
		return "stale", nil
	})
	d.say(modernCall)
	if got, want := d.hear(), `{"jsonrpc":"2.0","id":1,"result":{}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d.say(strings.Replace(modernCall, "a__b", "a__c", 1))
	if got := d.hear(); !strings.Contains(got, "the token is not valid") {
		t.Errorf("got %s", got)
	}
	if err := d.leave(); err != nil {
		t.Error(err)
	}
	if want := "Bearer stale Bearer fresh Bearer stale Bearer fresh"; strings.Join(seen, " ") != want {
		t.Errorf("the broker saw %q, want %s", seen, want)
	}
}

func TestLineThatIsNoMessageIsRefused(t *testing.T) {
	t.Parallel()
	d := sit(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was forwarded") }))
	d.say("hello")
	if got := d.hear(); !strings.Contains(got, `"id":null`) || !strings.Contains(got, `"error"`) {
		t.Errorf("got %s", got)
	}
	d.say("")
	if err := d.leave(); err != nil {
		t.Error(err)
	}
}

func TestCancellingEndsTheRequestOfAModernCall(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	d := sit(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.Contains(body(t, r), "cancelled") {
			t.Error("the cancellation was forwarded")
		}
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	d.say(modernCall)
	<-began
	d.say(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	<-ended
	if err := d.leave(); err != nil {
		t.Error(err)
	}
}

// sessions is a broker of the old revisions, which forgets its session when told to.
type sessions struct {
	t *testing.T

	mu      sync.Mutex
	current string              // guarded by mu
	opened  int                 // guarded by mu
	seen    []string            // methods of messages; guarded by mu
	push    chan string         // what its stream says
	deleted chan map[string]any // sessions that were ended
}

func (s *sessions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := r.Header.Get("Mcp-Session-Id")
	switch r.Method {
	case http.MethodGet:
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		s.mu.Unlock()
		defer s.mu.Lock()
		for {
			select {
			case text := <-s.push:
				_, _ = io.WriteString(w, "data: "+text+"\n\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case http.MethodDelete:
		s.deleted <- map[string]any{"session": given}
		return
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	text := body(s.t, r)
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		s.t.Error(err)
	}
	s.seen = append(s.seen, m.Method)
	switch {
	case m.Method == "initialize":
		s.opened++
		s.current = "session-" + strings.Repeat("i", s.opened)
		w.Header().Set("Mcp-Session-Id", s.current)
		reply(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"protocolVersion":"2025-11-25"}}`)
	case given != s.current || r.Header.Get("Mcp-Protocol-Version") != "2025-11-25":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no session"}}`)
	case m.ID == nil:
		w.WriteHeader(http.StatusAccepted)
	default:
		reply(w, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"in":"`+given+`"}}`)
	}
}

func TestSessionIsKeptAndOpenedAgainWhenLost(t *testing.T) {
	t.Parallel()
	s := &sessions{t: t, push: make(chan string), deleted: make(chan map[string]any, 1)}
	d := sit(t, serve(t, s.ServeHTTP))
	d.say(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`)
	if got := d.hear(); !strings.Contains(got, "2025-11-25") {
		t.Errorf("got %s", got)
	}
	d.say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	s.push <- `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	if got := d.hear(); !strings.Contains(got, "list_changed") {
		t.Errorf("got %s, want what the stream said", got)
	}
	d.say(`{"jsonrpc":"2.0","id":"a","method":"tools/list"}`)
	if got, want := d.hear(), `{"jsonrpc":"2.0","id":"a","result":{"in":"session-i"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.mu.Lock()
	s.current = "lost"
	s.mu.Unlock()
	d.say(`{"jsonrpc":"2.0","id":"b","method":"tools/list"}`)
	if got, want := d.hear(), `{"jsonrpc":"2.0","id":"b","result":{"in":"session-ii"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := d.leave(); err != nil {
		t.Error(err)
	}
	if got := <-s.deleted; got["session"] != "session-ii" {
		t.Errorf("the session ended is %v", got)
	}
	want := "initialize notifications/initialized tools/list tools/list initialize notifications/initialized tools/list"
	if got := strings.Join(s.seen, " "); got != want {
		t.Errorf("the broker saw %s, want %s", got, want)
	}
}

func TestStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	endpoint := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_ = body(t, r)
		close(began)
		<-r.Context().Done()
	})
	b, err := bridge.New(bridge.Config{Endpoint: endpoint, Token: func(context.Context) (string, error) { return "x", nil }})
	if err != nil {
		t.Fatal(err)
	}
	in, write := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, in, io.Discard) }()
	if _, err := io.WriteString(write, modernCall+"\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = write.Close() // of a pipe, which cannot fail
}
