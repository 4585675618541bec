package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/live"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const policies = `
@id("support-calls")
permit (principal in Role::"support", action in Action::"desk", resource);
permit (principal == Agent::"copilot", action in Action::"desk", resource);

@id("no-secrets") @reason("Secrets stay here.")
forbid (principal, action == Action::"desk.echo", resource) when { context.input.text == "secret" };

@id("ask-a-lead") @approvers("lead") @expires("15m") @reason("Somebody has to look.")
forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };

@id("two-leads") @approvers("lead") @reason("This cannot be undone.")
forbid (principal, action == Action::"desk.wipe", resource) unless { context.approvals.count >= 2 };

permit (principal in Role::"lead", action in [Action::"approve", Action::"grant", Action::"read", Action::"review", Action::"revoke", Action::"erase", Action::"legal-hold", Action::"rotate"], resource);
permit (principal in Role::"auditor", action == Action::"read", resource in Domain::"desk");
permit (principal, action == Action::"read", resource is Call) when { resource.principal == principal };
permit (principal in Role::"clerk", action == Action::"read", resource in Domain::"desk") when { context.tier == Tier::"metadata" };
permit (principal in Role::"analyst", action == Action::"read", resource in Domain::"desk");
forbid (principal in Role::"analyst", action == Action::"read", resource) when { context.tier == Tier::"results" };
@id("four-eyes")
forbid (principal, action == Action::"approve", resource) when { resource.principal == principal };
`

var (
	alice   = brokertest.Person("alice", "support")
	bob     = brokertest.Person("bob", "lead")
	carol   = brokertest.Person("carol", "auditor")
	dora    = brokertest.Person("dora", "lead")
	erin    = brokertest.Person("erin")
	frank   = brokertest.Person("frank", "clerk")  // reads metadata
	gina    = brokertest.Person("gina", "analyst") // and arguments
	copilot = brokertest.Through(alice, "copilot")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// verifier knows tokens by name, and refuses others by the kind that they name.
type verifier map[string]*agents.Identity

func (v verifier) Verify(_ context.Context, c agents.Credential) (*agents.Identity, error) {
	token := c.Token
	if id, ok := v[token]; ok {
		return id, nil
	}
	if token == "broken" {
		return nil, errors.New("verifier is broken")
	}
	return nil, &agents.Rejection{Kind: agents.Kind(strings.TrimPrefix(token, "bad-"))}
}

// sessions are cookies with the name of whom they stand for.
type sessions map[string]*agents.Identity

func (s sessions) Identity(r *http.Request) (*agents.Identity, bool) {
	c, err := r.Cookie("deed_session")
	if err != nil {
		return nil, false
	}
	id, ok := s[c.Value]
	return id, ok
}

// rig is a whole broker with its history, seals and stream behind a real server.
type rig struct {
	*brokertest.Rig
	t      *testing.T
	server *httptest.Server
	index  *index.Index
	sealer *seal.Sealer
	key    *seal.Key
	ready  error

	mu         sync.Mutex
	rejections []agents.Kind // guarded by mu
}

func start(t *testing.T) *rig {
	t.Helper()
	return startWithin(t, httpapi.DefaultTimeout)
}

// startWithin gives each request so much time.
func startWithin(t *testing.T, timeout time.Duration) *rig {
	t.Helper()
	desk := toolstest.NewFake()
	desk.Handle([]byte(`{"name":"wipe","inputSchema":{"type":"object"},"annotations":{"destructiveHint":true,"idempotentHint":false}}`),
		func(context.Context, tools.Call) (tools.Answer, error) { return toolstest.Text("wiped"), nil })
	r := &rig{t: t, Rig: brokertest.Start(t, brokertest.Options{
		Policies: policies, HoldWait: 10 * time.Millisecond,
		Upstreams: map[string]tools.Upstream{"desk": desk},
	})}
	logger := slog.New(slog.DiscardHandler)
	var err error
	r.index, err = index.Open(t.Context(), filepath.Join(t.TempDir(), index.FileName), logger)
	must(t, err)
	r.key, err = seal.LoadOrCreateKey(filepath.Join(r.Dir, "keys", "seal.key"), "acme") // the broker's own
	must(t, err)
	r.sealer, err = seal.NewSealer(seal.Config{Log: r.Log, Trees: r.Log, Key: r.key, Tenant: "acme", Source: "deed://acme/one"})
	must(t, err)
	expired := *bob
	expired.Expires = time.Now().Add(-time.Second)
	auth, err := httpapi.NewAuthenticator(httpapi.AuthConfig{
		Verifier: verifier{"alice": alice, "bob": bob, "carol": carol, "dora": dora, "erin": erin, "frank": frank, "gina": gina, "copilot": copilot},
		Sessions: sessions{"bob": bob, "expired": &expired}, URL: "https://deed.example",
		Reject: func(_ context.Context, rejected *agents.Rejection) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.rejections = append(r.rejections, rejected.Kind)
		}, Logger: logger,
	})
	must(t, err)
	hub, err := live.New(live.Config{
		Log: r.Log, Auth: auth, Policy: r.Broker, Epoch: func() any { return r.Policies.Set() }, URL: "https://deed.example", Logger: logger,
		Opening: func(ctx context.Context, id string) (broker.Subject, error) {
			h, err := r.index.Call(ctx, id)
			return broker.SubjectOf(h.Folded), err
		},
	})
	must(t, err)
	handler, err := httpapi.New(httpapi.Config{
		Broker: r.Broker, History: r.index, Log: r.Log, Sealer: r.sealer, Catalogue: r.Registry, Policies: r.Policies,
		Domains: func() []string { return []string{"desk"} }, Auth: auth, Stream: hub,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
		Ready:   []httpapi.Check{{Name: "log", Check: func(context.Context) error { return r.ready }}}, Logger: logger, MaxBody: 4096, Timeout: timeout,
	})
	must(t, err)
	r.server = httptest.NewServer(handler)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.index.Run(ctx, r.Log, r.Log); err != nil {
			t.Errorf("run index: %v", err)
		}
	})
	running.Go(func() {
		if err := hub.Run(ctx); err != nil {
			t.Errorf("run hub: %v", err)
		}
	})
	t.Cleanup(func() { // before the log closes
		cancel()
		running.Wait()
		r.server.Close()
		must(t, r.index.Close())
	})
	return r
}

// indexed waits until the history has everything that is in the log.
func (r *rig) indexed() {
	r.t.Helper()
	for {
		lag, err := r.index.Behind(r.t.Context())
		must(r.t, err)
		if lag.Records == 0 {
			return
		}
	}
}

// request makes a request as somebody; nobody without a name.
func (r *rig) request(who, method, path, body string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.server.URL+path, strings.NewReader(body))
	must(r.t, err)
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return r.do(req)
}

func (r *rig) do(req *http.Request) *http.Response {
	r.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(r.t, err)
	body, err := io.ReadAll(resp.Body)
	must(r.t, err)
	must(r.t, resp.Body.Close())
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// get asks for something that must be there.
func get[T any](r *rig, who, path string) T {
	r.t.Helper()
	return answer[T](r, r.request(who, http.MethodGet, path, ""), http.StatusOK)
}

// answer reads a response of the status that is wanted.
func answer[T any](r *rig, resp *http.Response, status int) T {
	r.t.Helper()
	var v T
	body, err := io.ReadAll(resp.Body)
	must(r.t, err)
	if resp.StatusCode != status {
		r.t.Fatalf("answered %d, want %d: %s", resp.StatusCode, status, body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	return v
}

// call makes a call of the echo tool as the copilot, for alice.
func (r *rig) call(text string) string {
	r.t.Helper()
	args, err := json.Marshal(map[string]string{"text": text})
	must(r.t, err)
	reply, err := r.Call(r.t.Context(), broker.Request{Identity: copilot, Tool: "desk.echo", Arguments: args, Client: "test"})
	if err != nil {
		return broker.AsError(err).CallID
	}
	return reply.CallID
}

// ended waits until a call is closed.
func (r *rig) ended(id string) {
	r.t.Helper()
	for {
		if reply, err := r.Await(r.t.Context(), copilot, id, nil); err != nil || reply.Pending == nil {
			break
		}
	}
	r.indexed()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
