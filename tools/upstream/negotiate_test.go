package upstream_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
)

// A server that answers what it does not know with an empty result is one of the old revisions, and
// one that refuses the newest once, and says that it speaks it, is asked again.
func TestWhatAServerSpeaksIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		legacy     bool
		status     int
		discovered string
		once       bool
		method     string // with which it is called at last, since the newest revision alone has the header
	}{
		"an empty result": {legacy: true, status: http.StatusOK, discovered: `{"jsonrpc":"2.0","id":1,"result":{}}`},
		"a refusal of what it speaks": {
			status: http.StatusBadRequest, once: true, method: "tools/call",
			discovered: `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refused atomic.Int32
			var method atomic.Value
			s := serve(t, row.legacy, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					if strings.Contains(string(body), `"tools/call"`) {
						method.Store(r.Header.Get("Mcp-Method"))
					}
					if strings.Contains(string(body), `"server/discover"`) && (!row.once || refused.Add(1) == 1) {
						w.Header().Set("Content-Type", "application/json")
						w.WriteHeader(row.status)
						_, _ = io.WriteString(w, row.discovered)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			u := remote(t, s.URL, nil)
			toolstest.Start(t, u)
			text(t, u, tools.Call{ID: "1", Tool: "echo", Arguments: []byte(`{"text":"x"}`)})
			if got := method.Load(); got != row.method {
				t.Errorf("it is called with Mcp-Method %q", got)
			}
		})
	}
}

// unconsented refuses until somebody has consented.
type unconsented struct {
	given   atomic.Bool
	waiting chan struct{} // one for each that waits
	proceed chan struct{}
}

func (a *unconsented) Transport(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if !a.given.Load() {
			return nil, &credentials.Error{Source: "oauth://up", Err: &credentials.ConsentError{Upstream: "up", Reason: "nobody has consented"}}
		}
		return base.RoundTrip(r)
	})
}

func (a *unconsented) Await(ctx context.Context) error {
	a.waiting <- struct{}{}
	select {
	case <-a.proceed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A server that nobody has consented to use is not tried again and again, says so, and is connected to
// once somebody has. When the consent ends, it is as before.
func TestAServerWaitsForConsent(t *testing.T) {
	t.Parallel()
	s := serve(t, false, nil)
	a := &unconsented{waiting: make(chan struct{}, 1), proceed: make(chan struct{}, 1)}
	u := remote(t, s.URL, func(c *upstream.HTTPConfig) { c.Authorizer = a })
	done := make(chan error, 1)
	connected := make(chan struct{}, 16)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- u.Run(ctx, func() { connected <- struct{}{} }) }()
	<-a.waiting
	if err := u.Health(); err == nil || !strings.Contains(err.Error(), "deed upstreams login up") {
		t.Errorf("its health is %v", err)
	}
	a.given.Store(true)
	a.proceed <- struct{}{}
	for u.Health() != nil {
		<-connected
	}
	text(t, u, tools.Call{ID: "1", Tool: "echo", Arguments: []byte(`{"text":"x"}`)})
	a.given.Store(false)
	_, err := u.Call(t.Context(), tools.Call{ID: "2", Tool: "echo", Arguments: []byte(`{"text":"x"}`)})
	if _, needs := errors.AsType[*credentials.ConsentError](err); !needs || !errors.Is(err, tools.ErrNotSent) {
		t.Errorf("the call fails with %v", err)
	}
	if _, needs := errors.AsType[*credentials.ConsentError](<-done); !needs {
		t.Error("it goes on")
	}
	stop()
}
