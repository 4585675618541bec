package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/upstream"
)

// digger is an mcp-go server that works on a call as a task until it is let go. It shows a task to the
// session alone that made it.
type digger struct {
	url   string
	calls atomic.Int32
	ended chan struct{} // closed to let it end
	seen  chan string   // the methods of HTTP requests
}

func newDigger(t *testing.T) *digger {
	t.Helper()
	d := &digger{ended: make(chan struct{}), seen: make(chan string, 1024)}
	s := server.NewMCPServer("digger", "1", server.WithTaskCapabilities(true, true, true), server.WithToolCapabilities(false))
	s.AddTool(mcp.NewTool("dig", mcp.WithTaskSupport(mcp.TaskSupportRequired)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		d.calls.Add(1)
		select { // its context ends with the request that made the task, not with that
		case <-d.ended:
			return mcp.NewToolResultText("dug"), nil
		case <-t.Context().Done():
			return nil, t.Context().Err()
		}
	})
	next := server.NewStreamableHTTPServer(s, server.WithStateful(true), server.WithStreamableHTTPLogger((&logs{}).logger()),
		server.WithStreamableHTTPProtocolVersions(legacyVersions()...))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case d.seen <- r.Method:
		default:
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	d.url = h.URL
	return d
}

// begin has a tool called, and returns once it has become a task, with what finds that, and a function that leaves it alone.
func begin(t *testing.T, tool *tools.Tool) (task json.RawMessage, leave func() error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(t.Context()))
	began, done := make(chan json.RawMessage, 1), make(chan error, 1)
	go func() {
		_, err := tool.Call(ctx, tools.Call{ID: "1", Arguments: json.RawMessage(`{}`), Began: func(task json.RawMessage) { began <- task }})
		done <- err
	}()
	select {
	case task = <-began:
	case err := <-done:
		t.Fatalf("the call has ended, without a task: %v", err)
	}
	return task, func() error {
		cancel(tools.ErrDetached)
		return <-done
	}
}

func follow(t *testing.T, tool *tools.Tool, task json.RawMessage) (string, error) {
	t.Helper()
	a, err := tool.Follow(t.Context(), tools.Call{ID: "1"}, task, time.Now())
	return string(a.Raw), err
}

// A task that is left alone goes on, and another process learns how it ends, in the session that it was made in.
func TestATaskIsFollowedByAnotherProcess(t *testing.T) {
	t.Parallel()
	d := newDigger(t)
	first := registered(t, remote(t, d.url, nil), tools.RegistryOptions{})
	tool, err := first.Lookup("up.dig")
	if err != nil {
		t.Fatal(err)
	}
	task, leave := begin(t, tool)
	if err := leave(); !errors.Is(err, tools.ErrUncertain) || !errors.Is(err, tools.ErrDetached) {
		t.Errorf("left alone: %v", err)
	}
	second := remote(t, d.url, nil)
	again, err := registered(t, second, tools.RegistryOptions{}).Lookup("up.dig")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(d.ended) })
	for range 2 { // two calls may have been made in one session: nobody ends it
		if said, err := follow(t, again, task); err != nil || !strings.Contains(said, "dug") {
			t.Errorf("followed, it answers %s, %v", said, err)
		}
	}
	if n := d.calls.Load(); n != 1 {
		t.Errorf("the tool was run %d times", n)
	}
	elsewhere, err := registered(t, remote(t, newDigger(t).url, nil), tools.RegistryOptions{}).Lookup("up.dig")
	if err != nil {
		t.Fatal(err)
	}
	if said, err := follow(t, elsewhere, task); !errors.Is(err, tools.ErrUncertain) || !strings.Contains(err.Error(), "not the server") {
		t.Errorf("another server is asked: %s, %v", said, err)
	}
}

// A session with a task that goes on is not ended by a broker that stops.
func TestASessionWithATaskStays(t *testing.T) {
	t.Parallel()
	for name, leaves := range map[string]bool{"with a task": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDigger(t)
			u := remote(t, d.url, nil)
			r := tools.NewRegistry(tools.RegistryOptions{})
			if err := r.Add("up", "work", u, tools.Options{}); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			ready(t, r)
			for len(d.seen) > 0 { // of the session in which it was found out what the server speaks
				<-d.seen
			}
			tool, err := r.Lookup("up.dig")
			if err != nil {
				t.Fatal(err)
			}
			if leaves {
				_, leave := begin(t, tool)
				_ = leave() // as the other test shows
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			deleted := false
			for len(d.seen) > 0 {
				deleted = <-d.seen == http.MethodDelete || deleted
			}
			if deleted == leaves {
				t.Errorf("deleted: %t", deleted)
			}
		})
	}
}

// What is not known of a task any more is uncertain, whatever a server says.
func TestATaskThatIsNotThatOneAnyMore(t *testing.T) {
	t.Parallel()
	later := strings.ReplaceAll(task("completed", `,"result":`+dug), "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
	for name, s := range map[string]*tasked{
		"forgotten":                  {revision: "2025-11-25", answers: map[string][]string{"tasks/get": {unknown}}},
		"forgotten, since 2026":      {revision: "2026-07-28", answers: map[string][]string{"tasks/get": {unknown}}},
		"another's id":               {revision: "2025-11-25", answers: map[string][]string{"tasks/get": {later}, "tasks/result": {dug}}},
		"another's id, since 2026":   {revision: "2026-07-28", answers: map[string][]string{"tasks/get": {later}}},
		"a credential is missing":    {revision: "2026-07-28", answers: map[string][]string{"tasks/get": {"hangs up"}}},
		"it says that nothing is so": {revision: "2025-11-25", answers: map[string][]string{"tasks/get": {task("working", ""), unknown}, "tasks/result": {unknown}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.answers["tools/call"] = []string{created("working")}
			if s.revision == "2026-07-28" {
				s.answers["tools/call"] = []string{task("working", "")}
			}
			get := s.answers["tasks/get"]
			s.answers["tasks/get"], s.answers["tasks/cancel"] = []string{task("working", "")}, nil
			tool := digging(t, s)
			found, leave := begin(t, tool)
			_ = leave() // as another test shows
			s.mu.Lock()
			s.answers["tasks/get"] = get
			s.mu.Unlock()
			said, err := follow(t, tool, found)
			if !errors.Is(err, tools.ErrUncertain) || errors.Is(err, tools.ErrNotSent) {
				t.Errorf("it answers %s, %v; want tools.ErrUncertain", said, err)
			}
			calls := 0
			for _, line := range s.lines() {
				if strings.HasPrefix(line, "tools/call") {
					calls++
				}
				if strings.HasPrefix(line, "tasks/cancel") {
					t.Errorf("a task that is left alone was cancelled")
				}
			}
			if calls != 1 {
				t.Errorf("the tool was called %d times", calls)
			}
		})
	}
}

// A server that goes away and comes back, and has kept its tasks, is asked on; one call, one task.
func TestATaskOutlivesItsServersAbsence(t *testing.T) {
	t.Parallel()
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			t.Parallel()
			s := &tasked{revision: revision, seen: make(chan string, 256), answers: map[string][]string{
				"tools/call": {created("working")}, "tasks/get": {task("working", "")}, "tasks/result": {`{"code":-32600,"message":"not yet"}`},
			}}
			if revision == "2026-07-28" {
				s.answers["tools/call"] = []string{task("working", "")}
			}
			h := httptest.NewServer(s)
			t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
			var away atomic.Bool
			u := remote(t, h.URL, func(c *upstream.HTTPConfig) {
				c.Transport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
					if away.Load() {
						return nil, syscall.ECONNREFUSED
					}
					return new(net.Dialer).DialContext(ctx, network, address)
				}}
			})
			tool, err := registered(t, u, tools.RegistryOptions{}).Lookup("up.dig")
			if err != nil {
				t.Fatal(err)
			}
			done, began := make(chan string, 1), make(chan json.RawMessage, 8)
			go func() {
				a, err := tool.Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{}`), Began: func(task json.RawMessage) { began <- task }})
				if err != nil {
					t.Error(err)
				}
				done <- string(a.Raw)
			}()
			<-began
			away.Store(true)
			h.CloseClientConnections()
			eventually(t, "its absence is noticed", func() bool { return u.Health() != nil })
			s.mu.Lock()
			s.answers["tasks/get"], s.answers["tasks/result"] = []string{task("completed", `,"result":`+dug)}, []string{dug}
			s.mu.Unlock()
			away.Store(false)
			if said := <-done; !strings.Contains(said, "dug") {
				t.Errorf("it answers %s", said)
			}
		})
	}
}
