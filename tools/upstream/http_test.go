package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
)

// serve runs the fixture over HTTP, old revisions only if legacy, behind a handler that may interfere.
func serve(t *testing.T, legacy bool, around func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	options := []server.StreamableHTTPOption{server.WithStateful(true), server.WithStreamableHTTPLogger((&logs{}).logger())}
	if legacy {
		options = append(options, server.WithStreamableHTTPProtocolVersions(legacyVersions()...))
	}
	var handler http.Handler = server.NewStreamableHTTPServer(fixture(), options...)
	if around != nil {
		handler = around(handler)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func remote(t *testing.T, address string, change func(*upstream.HTTPConfig)) *upstream.Server {
	t.Helper()
	c := upstream.HTTPConfig{URL: address, Headers: map[string]string{"Authorization": "Bearer of-the-broker"}}
	if change != nil {
		change(&c)
	}
	u, err := upstream.NewHTTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// revisions runs a test against servers of both generations.
func revisions(t *testing.T, test func(t *testing.T, legacy bool)) {
	t.Helper()
	for _, legacy := range []bool{false, true} {
		t.Run("legacy "+strconv.FormatBool(legacy), func(t *testing.T) {
			t.Parallel()
			test(t, legacy)
		})
	}
}

func TestHTTPKeepsTheContract(t *testing.T) {
	t.Parallel()
	revisions(t, func(t *testing.T, legacy bool) {
		t.Helper()
		toolstest.Run(t, func(t *testing.T) toolstest.Subject {
			t.Helper()
			return subject(remote(t, serve(t, legacy, nil).URL, nil))
		})
	})
}

func TestHTTPHeaders(t *testing.T) {
	t.Parallel()
	u := remote(t, serve(t, false, nil).URL, func(c *upstream.HTTPConfig) {
		c.KeyHeaders = map[string]string{"seen": "X-Request-Id", "*": "Idempotency-Key"}
	})
	toolstest.Start(t, u)
	got := text(t, u, tools.Call{ID: "1", Tool: "seen", Arguments: json.RawMessage(`{}`), TraceParent: "00-1-2-01", IdempotencyKey: "once"})
	for _, want := range []string{`"X-Request-Id":["once"]`, `"Authorization":["Bearer of-the-broker"]`, `"Mcp-Method":["tools/call"]`, `"Mcp-Name":["seen"]`, `"traceparent":"00-1-2-01"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the server saw %s, want %s", got, want)
		}
	}
}

func TestArgumentsThatGoIntoHeaders(t *testing.T) {
	t.Parallel()
	headers := make(chan string, 64)
	u := remote(t, serve(t, false, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Mcp-Name") == "echo" {
				headers <- r.Header.Get("Mcp-Param-Text")
			}
			next.ServeHTTP(w, r)
		})
	}).URL, nil)
	toolstest.Start(t, u)
	if got := text(t, u, tools.Call{ID: "1", Tool: "echo", Arguments: json.RawMessage(`{"text":"hello"}`)}); got != "hello" {
		t.Errorf("answered %q", got)
	}
	if got := <-headers; got != "hello" {
		t.Errorf("Mcp-Param-Text is %q, want the argument", got)
	}
}

func TestHTTPProgress(t *testing.T) {
	t.Parallel()
	revisions(t, func(t *testing.T, legacy bool) {
		t.Helper()
		u := remote(t, serve(t, legacy, nil).URL, nil)
		toolstest.Start(t, u)
		told := 0
		_, err := u.Call(t.Context(), tools.Call{ID: "1", Tool: "progress", Arguments: json.RawMessage(`{}`), Notify: func(method string, params json.RawMessage) {
			if method == "notifications/progress" && !strings.Contains(string(params), "progressToken") {
				told++
			}
		}})
		if err != nil || told != 3 {
			t.Errorf("told %d times, %v; want 3 times", told, err)
		}
	})
}

func TestHTTPNewToolsAreNoticed(t *testing.T) {
	t.Parallel()
	revisions(t, func(t *testing.T, legacy bool) {
		t.Helper()
		u := remote(t, serve(t, legacy, nil).URL, nil)
		r := registered(t, u, tools.RegistryOptions{})
		grown := 0
		eventually(t, "a tool added later is known", func() bool {
			grown++
			if _, err := call(t.Context(), u, "grow", `{"name":"grown`+strconv.Itoa(grown)+`"}`); err != nil {
				t.Fatal(err)
			}
			_, err := r.Lookup("up.grown1")
			return err == nil
		})
	})
}

func TestAServerThatIsNotThereIsNotSent(t *testing.T) {
	t.Parallel()
	s := serve(t, false, nil)
	u := remote(t, s.URL, nil)
	r := registered(t, u, tools.RegistryOptions{})
	s.CloseClientConnections()
	s.Close()
	eventually(t, "calls are not sent", func() bool {
		_, err := call(t.Context(), u, "echo", `{}`)
		if err != nil && strings.Contains(err.Error(), "://") {
			t.Errorf("the error tells the URL: %v", err)
		}
		return errors.Is(err, tools.ErrNotSent)
	})
	eventually(t, "it is tried again", func() bool { return r.Status()[0].Restarts > 1 })
	if err := u.Health(); err == nil {
		t.Error("a server that is not there is healthy")
	}
}

func TestAServerThatForgotTheSession(t *testing.T) {
	t.Parallel()
	var forget atomic.Bool
	u := remote(t, serve(t, true, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if forget.Load() && r.Header.Get("Mcp-Session-Id") != "" {
				forget.Store(false)
				http.NotFound(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}).URL, nil)
	r := registered(t, u, tools.RegistryOptions{})
	forget.Store(true)
	if _, err := call(t.Context(), u, "echo", `{"text":"x"}`); !errors.Is(err, tools.ErrNotSent) {
		t.Errorf("call: %v, want ErrNotSent", err)
	}
	eventually(t, "a new session", func() bool { return r.Status()[0].Restarts > 0 })
	ready(t, r)
	if _, err := call(t.Context(), u, "echo", `{"text":"x"}`); err != nil {
		t.Errorf("in the new session: %v", err)
	}
}

// onCall answers tools/call itself.
func onCall(answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Mcp-Method") == "tools/call" {
				answer(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestBadAnswersOverHTTP(t *testing.T) {
	t.Parallel()
	status := func(code int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		}
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"unauthorized":         {status(401, "text/plain", "secret"), tools.ErrNotSent},
		"forbidden":            {status(403, "text/html", "secret"), tools.ErrNotSent},
		"unavailable":          {status(503, "text/html", "secret"), tools.ErrUncertain},
		"not JSON":             {status(200, "application/json", "secret"), tools.ErrUncertain},
		"another type":         {status(200, "text/html", "secret"), tools.ErrUncertain},
		"another id":           {status(200, "application/json", `{"jsonrpc":"2.0","id":"other","result":{"content":[]}}`), tools.ErrUncertain},
		"neither result":       {status(200, "application/json", `{"jsonrpc":"2.0","id":"other"}`), tools.ErrUncertain},
		"a stream that breaks": {status(200, "text/event-stream", "data: {\"jsonrpc\""), tools.ErrUncertain},
		"too large":            {status(200, "application/json", `{"secret":"`+strings.Repeat("secret", 1<<20)), tools.ErrUncertain},
		"a large event":        {status(200, "text/event-stream", "data: "+strings.Repeat("secret", 1<<20)), tools.ErrUncertain},
		"a broken connection":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, tools.ErrUncertain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := remote(t, serve(t, false, onCall(test.answer)).URL, func(c *upstream.HTTPConfig) { c.MaxAnswer = 1 << 20 })
			toolstest.Start(t, u)
			_, err := call(t.Context(), u, "echo", `{"text":"x"}`)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells what the server sent: %v", err)
			}
		})
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			stolen.Add(1)
		}
	}))
	t.Cleanup(thief.Close)
	u := remote(t, serve(t, false, onCall(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	})).URL, nil)
	toolstest.Start(t, u)
	_, err := call(t.Context(), u, "echo", `{"text":"x"}`)
	if err == nil || !strings.Contains(err.Error(), "redirects to another host") {
		t.Errorf("error %v, want that it was redirected", err)
	}
	if stolen.Load() != 0 {
		t.Error("the credentials went to another host")
	}
}

func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	page := func(next string) string {
		return `{"tools":[` + strings.Repeat(`{"name":"a","inputSchema":{"type":"object"}},`, 99) + `{"name":"b","inputSchema":{"type":"object"}}],"nextCursor":"` + next + `"}`
	}
	for name, cursor := range map[string]func(int) string{
		"a page that leads to itself": func(int) string { return "same" },
		"pages without end":           strconv.Itoa,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pages atomic.Int64
			u := remote(t, serve(t, false, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Mcp-Method") != "tools/list" {
						next.ServeHTTP(w, r)
						return
					}
					var request struct {
						ID json.RawMessage `json:"id"`
					}
					if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
						t.Error(err)
					}
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(request.ID) + `,"result":` + page(cursor(int(pages.Add(1)))) + `}`))
				})
			}).URL, nil)
			if err := u.Run(t.Context(), func() {}); err == nil || !strings.Contains(err.Error(), "list tools") {
				t.Errorf("Run: %v, want that the list is refused", err)
			}
			if n := pages.Load(); n > 20 {
				t.Errorf("%d pages were asked for", n)
			}
		})
	}
}

func TestAHangingServerHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var waiting sync.WaitGroup
	s := serve(t, false, onCall(func(_ http.ResponseWriter, r *http.Request) {
		waiting.Add(1)
		defer waiting.Done()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release) })
	u := remote(t, s.URL, nil)
	toolstest.Start(t, u)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := call(ctx, u, "echo", `{"text":"x"}`); !errors.Is(err, tools.ErrUncertain) {
		t.Errorf("error %v, want ErrUncertain", err)
	}
}

func TestNewHTTPRefuses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "files:///etc", "ftp://host/", "https://user:secret@host/mcp", "https://", "://"} {
		if _, err := upstream.NewHTTP(upstream.HTTPConfig{URL: address}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want an error without the secret", address, err)
		}
	}
	if _, err := upstream.NewStdio(upstream.StdioConfig{}); err == nil {
		t.Error("a stdio upstream without a command is accepted")
	}
}

func TestAHandshakeThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	u := remote(t, (&url.URL{Scheme: "http", Host: listener.Addr().String()}).String(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := u.Run(ctx, func() {}); err == nil {
		t.Error("Run: nil, want that there was no handshake")
	}
}

// replying answers tools/call with the rest of a JSON-RPC answer.
func replying(t *testing.T, rest string) func(http.Handler) http.Handler {
	t.Helper()
	return onCall(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			ID json.RawMessage `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":` + string(request.ID) + `,` + rest + `}`))
	})
}

func TestAnswersAreForwardedByteByByte(t *testing.T) {
	t.Parallel()
	const result = `{ "structuredContent" : {"b":1.50,"a":12345678901234567890,"c":"\u003c"},"content":[] , "resultType":"input_required", "future":{} }`
	u := remote(t, serve(t, false, replying(t, `"result":`+result)).URL, nil)
	toolstest.Start(t, u)
	a, err := call(t.Context(), u, "echo", `{"text":"x"}`)
	if err != nil || string(a.Raw) != result || a.IsError {
		t.Errorf("answer %s, %v; want the server's bytes %s", a.Raw, err, result)
	}
}

func TestAnAnswerThatCanBeReadInTwoWaysIsUncertain(t *testing.T) {
	t.Parallel()
	u := remote(t, serve(t, false, replying(t, `"result":{"content":[],"isError":true,"isError":false}`)).URL, nil)
	toolstest.Start(t, u)
	if a, err := call(t.Context(), u, "echo", `{"text":"x"}`); !errors.Is(err, tools.ErrUncertain) {
		t.Errorf("answer %s, %v; want ErrUncertain", a.Raw, err)
	}
}

func TestARefusalKeepsItsCodeAndData(t *testing.T) {
	t.Parallel()
	u := remote(t, serve(t, false, replying(t, `"error":{"code":-32042,"message":"`+strings.Repeat("m", 10_000)+`","data":{"url":"x"}}`)).URL, nil)
	toolstest.Start(t, u)
	_, err := call(t.Context(), u, "echo", `{"text":"x"}`)
	refused, ok := errors.AsType[*tools.RPCError](err)
	if !ok || refused.Code != -32042 || string(refused.Data) != `{"url":"x"}` || len(refused.Message) != 4096 {
		t.Errorf("error %v, want the server's code and data, and a bounded message", err)
	}
}
