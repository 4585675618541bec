package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// generations are those of the protocol, and whether they are the old one.
func generations() map[string]bool { return map[string]bool{"2026-07-28": false, "2025-11-25": true} }

func TestCallGivesTheToolsAnswer(t *testing.T) {
	t.Parallel()
	for name, legacy := range generations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeBroker{}
			c := connect(t, client.Options{URL: serve(t, f), Legacy: legacy, Name: "script", Version: "7"})
			for _, tool := range []string{"ledger.refund", "ledger__refund"} {
				r, err := c.Call(t.Context(), tool, json.RawMessage(`{"amount":12345678901234567890.10}`), client.CallOptions{IdempotencyKey: "k1"})
				if err != nil {
					t.Fatal(err)
				}
				if want := `ledger.refund {"amount":12345678901234567890.10}`; r.Text != want || r.CallID != "c1" || r.IsError || r.Pending != nil {
					t.Errorf("got %+v, want the text %q", r, want)
				}
			}
			for _, seen := range f.requests() {
				if seen.IdempotencyKey != "k1" || seen.Client != "script/7" || seen.Tool != "ledger.refund" {
					t.Errorf("the broker saw %+v", seen)
				}
			}
		})
	}
}

func TestToolsOwnErrorIsAResult(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{call: func(broker.Request) (*broker.Reply, error) {
		return &broker.Reply{CallID: "c1", Answer: tools.Answer{Raw: []byte(`{"content":[{"type":"text","text":"no funds"},{"type":"text","text":"sorry"}],"isError":true}`), IsError: true}}, nil
	}}
	r, err := connect(t, client.Options{URL: serve(t, f)}).Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
	if err != nil || !r.IsError || r.Text != "no funds\nsorry" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestRefusalsAreErrorsWithKindAndReasons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind broker.Kind
		want client.Kind
	}{
		{broker.Invalid, client.Invalid},
		{broker.Denied, client.Denied},
		{broker.Lapsed, client.Lapsed},
		{broker.NotFound, client.NotFound},
		{broker.Conflict, client.Conflict},
		{broker.Overloaded, client.Overloaded},
		{broker.LogUnavailable, client.LogUnavailable},
		{broker.Upstream, client.Upstream},
		{broker.OutcomeUnknown, client.OutcomeUnknown},
		{broker.Internal, client.Internal},
	} {
		t.Run(tt.kind.String(), func(t *testing.T) {
			t.Parallel()
			for name, legacy := range generations() {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f := &fakeBroker{call: func(broker.Request) (*broker.Reply, error) {
						return nil, &broker.Error{
							Kind: tt.kind, Public: "not like this", CallID: "c9", Retry: 1500 * time.Millisecond,
							Decision: &audit.Decision{Reasons: []audit.Reason{{Policy: "p1", Effect: "forbid", Text: "too much"}}},
						}
					}}
					_, err := connect(t, client.Options{URL: serve(t, f), Legacy: legacy}).Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
					e, ok := errors.AsType[*client.Error](err)
					if !ok {
						t.Fatalf("got %v", err)
					}
					if e.Kind != tt.want || e.CallID != "c9" || e.Retry != 1500*time.Millisecond || !strings.Contains(e.Message, "not like this") {
						t.Errorf("got %+v", e)
					}
					if diff := cmp.Diff([]client.Reason{{Policy: "p1", Text: "too much"}}, e.Reasons); diff != "" {
						t.Error(diff)
					}
				})
			}
		})
	}
}

func TestRejectedTokenIsUnauthenticated(t *testing.T) {
	t.Parallel()
	for name, legacy := range generations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, client.Options{URL: serve(t, &fakeBroker{}), Legacy: legacy, Token: token("old")})
			_, err := c.Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Kind != client.Unauthenticated || e.Status != http.StatusUnauthorized || !strings.Contains(e.Message, "expired") {
				t.Errorf("got %#v", err)
			}
		})
	}
}

// A token that was refused is asked for once more: if there is another, the call is made with that, once.
func TestARefusedTokenIsRenewed(t *testing.T) {
	t.Parallel()
	f := &fakeBroker{}
	for _, legacy := range []bool{false, true} {
		c := connect(t, client.Options{URL: serve(t, f), Legacy: legacy, Token: func(ctx context.Context) (string, error) {
			if client.Refused(ctx, "stale") {
				return "alice", nil
			}
			return "stale", nil
		}})
		if r, err := c.Call(t.Context(), "ledger.refund", []byte(`{"amount":1}`), client.CallOptions{}); err != nil || !strings.Contains(r.Text, "ledger.refund") {
			t.Errorf("legacy %t: %+v, %v", legacy, r, err)
		}
	}
	if n := len(f.requests()); n != 2 {
		t.Errorf("%d calls were made, want 2", n)
	}
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	t.Parallel()
	sent := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent = true }))
	t.Cleanup(server.Close)
	c := connect(t, client.Options{URL: server.URL, Token: func(context.Context) (string, error) { return "", errors.New("not signed in") }})
	_, err := c.Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Kind != client.Unauthenticated || !strings.Contains(e.Message, "not signed in") || sent {
		t.Errorf("got %v, sent %v", err, sent)
	}
}

func TestHeldCallIsPendingAndAwaited(t *testing.T) {
	t.Parallel()
	asked := 0
	f := &fakeBroker{
		call: func(broker.Request) (*broker.Reply, error) { return pending("c5"), nil },
		await: func(callID string, _ func(broker.Pending)) (*broker.Reply, error) {
			if asked++; asked < 3 {
				return pending(callID), nil
			}
			return &broker.Reply{CallID: callID, Answer: toolstest.Text("done")}, nil
		},
	}
	c := connect(t, client.Options{URL: serve(t, f)})
	r, err := c.Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := &client.Pending{CallID: "c5", Tool: "ledger.refund", Approvers: []string{"lead"}, Expires: r.Pending.Expires, Reasons: []client.Reason{{Policy: "big-refunds", Text: "over 100"}}}
	if diff := cmp.Diff(want, r.Pending); diff != "" || r.CallID != "c5" || r.IsError {
		t.Errorf("got %+v: %s", r, diff)
	}
	if r, err = c.Await(t.Context(), "c5", client.Waiting{}); err != nil || r.Pending == nil {
		t.Errorf("got %+v, %v, want one answer: still pending", r, err)
	}
	if r, err = c.Call(t.Context(), "ledger.refund", nil, client.CallOptions{Waiting: client.Waiting{Wait: time.Minute}}); err != nil || r.Text != "done" {
		t.Errorf("got %+v, %v, want the outcome", r, err)
	}
}

func TestProgressOfAHeldCallIsTold(t *testing.T) {
	t.Parallel()
	for name, legacy := range generations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeBroker{call: func(r broker.Request) (*broker.Reply, error) {
				r.Waiting(*pending("c1").Pending)
				r.Notify("notifications/progress", []byte(`{"progressToken":"x","progress":2,"total":4,"message":"half"}`))
				return &broker.Reply{CallID: "c1", Answer: toolstest.Text("done")}, nil
			}}
			c := connect(t, client.Options{URL: serve(t, f), Legacy: legacy})
			told := make(chan client.Progress, 8)
			r, err := c.Call(t.Context(), "ledger.refund", nil, client.CallOptions{Waiting: client.Waiting{OnProgress: func(p client.Progress) { told <- p }}})
			if err != nil || r.Text != "done" {
				t.Fatalf("got %+v, %v", r, err)
			}
			first, second := <-told, <-told
			if !strings.Contains(first.Message, "waiting for approval by lead") || second.Message != "half" || second.Total <= first.Total {
				t.Errorf("got %+v and %+v", first, second)
			}
		})
	}
}

func TestToolsListsRawDefinitions(t *testing.T) {
	t.Parallel()
	list, err := connect(t, client.Options{URL: serve(t, &fakeBroker{})}).Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range list {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"deed__await", "ledger__refund", "ledger__regional"}, names); diff != "" {
		t.Error(diff)
	}
	if i := slices.IndexFunc(list, func(t client.Tool) bool { return t.Name == "ledger__refund" }); list[i].Description != "gives money back" || !strings.Contains(string(list[i].Raw), `"amount"`) {
		t.Errorf("got %+v", list[i])
	}
}

func TestArgumentsThatGoIntoHeadersAreFoundOut(t *testing.T) {
	t.Parallel()
	r, err := connect(t, client.Options{URL: serve(t, &fakeBroker{})}).Call(t.Context(), "ledger.regional", json.RawMessage(`{"region":"eu"}`), client.CallOptions{})
	if err != nil || r.Text != `ledger.regional {"region":"eu"}` {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNobodyListeningIsUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, legacy := range generations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := connect(t, client.Options{URL: "http://" + address, Legacy: legacy}).Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
			if e, ok := errors.AsType[*client.Error](err); !ok || e.Kind != client.Unreachable || !strings.Contains(e.Message, address) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestBrokenConnectionLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(server.Close)
	c := connect(t, client.Options{URL: server.URL})
	_, err := c.Call(t.Context(), "ledger.refund", nil, client.CallOptions{})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Kind != client.OutcomeUnknown {
		t.Errorf("call: got %v", err)
	}
	_, err = c.Tools(t.Context())
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Kind != client.Unreachable {
		t.Errorf("list: got %v", err)
	}
}

func TestCancelledCallReturnsTheContextsError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeBroker{call: func(broker.Request) (*broker.Reply, error) {
		cancel()
		<-t.Context().Done() // later than the client gives up
		return nil, context.Canceled
	}}
	_, err := connect(t, client.Options{URL: serve(t, f)}).Call(ctx, "ledger.refund", nil, client.CallOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mcp" {
			t.Errorf("the token went to %s", r.URL)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	if _, err := connect(t, client.Options{URL: server.URL}).Tools(t.Context()); err == nil {
		t.Error("a redirect was taken for an answer")
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, o := range []client.Options{
		{URL: "http://x"},
		{URL: "ftp://x", Token: token("a")},
		{URL: "http://u:p@x", Token: token("a")},
		{URL: "http://x?y", Token: token("a")},
		{URL: ":", Token: token("a")},
		{Token: token("a")},
	} {
		if _, err := client.New(o); err == nil {
			t.Errorf("%q was accepted", o.URL)
		}
	}
}

func TestWireNamesAreThoseOfTheBroker(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		upstream := rapid.StringMatching(`[a-z0-9-]{1,32}`).Draw(t, "upstream")
		tool := rapid.StringMatching(`[A-Za-z0-9_./-]{1,80}`).Draw(t, "tool")
		if got, want := client.WireName(upstream+"."+tool), tools.WireName(upstream, tool); got != want {
			t.Errorf("%s.%s: got %s, want %s", upstream, tool, got, want)
		}
	})
}
