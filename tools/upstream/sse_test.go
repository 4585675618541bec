package upstream_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
	"github.com/deedbroker/deed/tools/web"
)

// sse runs the fixture over HTTP with server-sent events.
func sse(t *testing.T, around func(http.Handler) http.Handler) *httptest.Server {
	t.Helper()
	var handler http.Handler = server.NewSSEServer(fixture())
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

func bySSE(c *upstream.HTTPConfig) { c.SSE = true }

func TestSSEKeepsTheContract(t *testing.T) {
	t.Parallel()
	toolstest.Run(t, func(t *testing.T) toolstest.Subject {
		t.Helper()
		return subject(remote(t, sse(t, nil).URL+"/sse", bySSE))
	})
}

func TestSSEProgress(t *testing.T) {
	t.Parallel()
	u := remote(t, sse(t, nil).URL+"/sse", bySSE)
	toolstest.Start(t, u)
	told := 0
	_, err := u.Call(t.Context(), tools.Call{ID: "1", Tool: "progress", Arguments: json.RawMessage(`{}`), Notify: func(method string, params json.RawMessage) {
		if method == "notifications/progress" && !strings.Contains(string(params), "progressToken") {
			told++
		}
	}})
	if err != nil || told == 0 {
		t.Errorf("told %d times, %v", told, err)
	}
}

func TestSSEStreamThatEndsIsUncertain(t *testing.T) {
	t.Parallel()
	s := sse(t, nil)
	r := registered(t, remote(t, s.URL+"/sse", bySSE), tools.RegistryOptions{})
	hang, err := r.Lookup("up.hang")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := hang.Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{}`)})
		done <- err
	}()
	time.AfterFunc(200*time.Millisecond, s.CloseClientConnections)
	select {
	case err := <-done:
		if !errors.Is(err, tools.ErrUncertain) {
			t.Errorf("error %v, want tools.ErrUncertain", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the call waits for ever")
	}
}

// TestSSEPostsNowhereElse lets a server name another origin to post to.
func TestSSEPostsNowhereElse(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("event: endpoint\ndata: https://" + r.Host + "/steal\n\n"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	if err := remote(t, s.URL, bySSE).Run(t.Context(), func() {}); !errors.Is(err, web.ErrRedirected) {
		t.Errorf("error %v, want web.ErrRedirected", err)
	}
}

// TestSSEOfficialServer calls the official everything server over its old transport.
func TestSSEOfficialServer(t *testing.T) {
	t.Parallel()
	node, everything := need.Env(t, need.Node), need.Env(t, need.MCPEverything)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, everything, "sse")
	cmd.Env = append(os.Environ(), "PORT="+port)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed by the end of the test's context
	running := make(chan struct{})
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			if strings.Contains(s.Text(), port) {
				close(running)
				break
			}
		}
	}()
	select {
	case <-running:
	case <-time.After(time.Minute):
		t.Fatal("it does not start")
	}
	u := remote(t, "http://127.0.0.1:"+port+"/sse", bySSE)
	toolstest.Start(t, u)
	if got := text(t, u, tools.Call{ID: "1", Tool: "echo", Arguments: json.RawMessage(`{"message":"hello"}`)}); !strings.Contains(got, "hello") {
		t.Errorf("answered %q", got)
	}
	told := 0
	_, err = u.Call(t.Context(), tools.Call{
		ID: "2", Tool: "trigger-long-running-operation", Arguments: json.RawMessage(`{"duration":0.5,"steps":3}`),
		Notify: func(method string, _ json.RawMessage) {
			if method == "notifications/progress" {
				told++
			}
		},
	})
	if err != nil || told == 0 {
		t.Errorf("told of progress %d times, %v", told, err)
	}
}
