package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/agents/oidc"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/console"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/live"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const policies = `
@id("support-works")
permit (principal in Role::"support", action in Action::"payments", resource);
@id("copilot-works")
permit (principal == Agent::"copilot", action in Action::"payments", resource);

@id("no-secrets") @reason("Secrets stay here.")
forbid (principal, action == Action::"payments.echo", resource) when { context.input.text == "secret" };

@id("big-refunds") @approvers("lead") @expires("15m") @reason("Refunds over 100 need a lead.")
forbid (principal, action == Action::"payments.refund", resource)
when { context.input.amount > 100 } unless { context.approvals.count >= 1 };

permit (principal in Role::"lead", action in [Action::"approve", Action::"grant", Action::"read", Action::"review", Action::"revoke"], resource);
`

// refunds is the tool that people decide on.
var refunds = json.RawMessage(`{"name":"refund","title":"Refund","description":"Gives money back.",
	"inputSchema":{"type":"object","properties":{"amount":{"type":"integer"},"customer":{"type":"string"},"note":{"type":"string"}},"required":["amount"]},
	"annotations":{"destructiveHint":true,"idempotentHint":false,"openWorldHint":true}}`)

var copilot = brokertest.Through(brokertest.Person("alice", "support"), "copilot")

// stack is a whole broker with its console, at a loopback address, with a demo issuer.
type stack struct {
	t        *testing.T
	rig      *brokertest.Rig
	payments *toolstest.Fake // the only upstream
	issuer   *demo.Server
	console  *console.Console
	url      string

	verifier *oidc.Verifier
	index    *index.Index
	endIndex func() // what is recorded from then on is not found in the history
	sealer   *seal.Sealer
	between  func(http.Handler) http.Handler // stands between the page and the API, but for its stream
	stop     func()                          // the edges: listener, stream
}

func start(t *testing.T) *stack {
	t.Helper()
	return startWith(t, func(*brokertest.Options) {})
}

// startWith is start with a broker of other options.
func startWith(t *testing.T, change func(*brokertest.Options)) *stack {
	t.Helper()
	fake := toolstest.NewFake()
	fake.Handle(refunds,
		func(context.Context, tools.Call) (tools.Answer, error) {
			return tools.Answer{Raw: json.RawMessage(`{"content":[{"type":"text","text":"refunded"}]}`)}, nil
		})
	options := brokertest.Options{
		Policies: policies, Wary: true, MaxHoldsPerCaller: 5000, HoldWait: time.Millisecond, Upstreams: map[string]tools.Upstream{"payments": fake},
	}
	change(&options)
	s := &stack{t: t, payments: fake, rig: brokertest.Start(t, options)}
	s.between = func(api http.Handler) http.Handler { return api }
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		group.Wait()
	})
	listener := listen(t, "127.0.0.1:0")
	s.url = "http://" + listener.Addr().String()
	var err error
	s.issuer, err = demo.Start(ctx, demo.Config{
		URL: "http://127.0.0.1:0/demo", Resources: []string{s.url + "/mcp", "http://127.0.0.1:1/mcp"}, ConsoleRedirects: []string{s.url + "/callback"},
		Users: map[string][]string{"alice": {"support"}, "bob": {"lead"}, "dave": {"lead"}, "carol": {"auditor"}},
	})
	must(t, err)
	group.Go(func() {
		if err := s.issuer.Wait(); err != nil {
			t.Errorf("demo issuer: %v", err)
		}
	})
	s.verifier, err = oidc.New(oidc.Config{
		Audience: s.url + "/mcp", Issuers: []oidc.Issuer{{URL: s.issuer.URL(), PeopleClients: demo.PeopleClients()}},
		Agents: map[string]oidc.Agent{"copilot": {Roles: []string{"assistant"}}},
	})
	must(t, err)
	group.Go(func() {
		if err := s.verifier.Run(ctx); err != nil {
			t.Errorf("verifier: %v", err)
		}
	})
	s.index, err = index.Open(ctx, filepath.Join(t.TempDir(), index.FileName), slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { must(t, s.index.Close()) })
	indexing, endIndex := context.WithCancel(ctx)
	s.endIndex = endIndex
	group.Go(func() {
		if err := s.index.Run(indexing, s.rig.Log, s.rig.Log); err != nil {
			t.Errorf("index: %v", err)
		}
	})
	t.Cleanup(func() { // before the index is closed, and the log under it
		cancel()
		group.Wait()
	})
	key, err := seal.LoadOrCreateKey(filepath.Join(t.TempDir(), "keys", "key"), "acme")
	must(t, err)
	s.sealer, err = seal.NewSealer(seal.Config{Log: s.rig.Log, Trees: s.rig.Log, Key: key, Tenant: "acme", Source: "deed://acme/one"})
	must(t, err)
	s.newConsole()
	s.serve(listener)
	t.Cleanup(func() { s.stop() })
	return s
}

// newConsole is a console that knows nobody, as after a restart.
func (s *stack) newConsole() {
	s.t.Helper()
	var err error
	s.console, err = console.New(console.Config{
		URL: s.url, Issuers: []string{s.issuer.URL()}, Verifier: s.verifier, Logger: slog.New(slog.DiscardHandler),
	})
	must(s.t, err)
}

// serve answers at the listener until stop.
func (s *stack) serve(listener net.Listener) {
	s.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	auth, err := httpapi.NewAuthenticator(httpapi.AuthConfig{
		Verifier: s.verifier, Sessions: s.console, URL: s.url, Reject: func(context.Context, *agents.Rejection) {}, Logger: logger,
	})
	must(s.t, err)
	hub, err := live.New(live.Config{
		Log: s.rig.Log, Auth: auth, Policy: s.rig.Broker, Epoch: func() any { return s.rig.Policies.Set() }, URL: s.url, Logger: logger,
		Opening: func(ctx context.Context, id string) (broker.Subject, error) {
			h, err := s.index.Call(ctx, id)
			return broker.SubjectOf(h.Folded), err
		},
	})
	must(s.t, err)
	api, err := httpapi.New(httpapi.Config{
		Broker: s.rig.Broker, History: s.index, Log: s.rig.Log, Sealer: s.sealer, Catalogue: s.rig.Registry, Policies: s.rig.Policies,
		Domains: func() []string { return []string{"payments"} }, Auth: auth, Stream: hub, Metrics: http.NotFoundHandler(), Logger: logger,
	})
	must(s.t, err)
	mux := http.NewServeMux()
	mux.Handle("/", s.console)
	mux.Handle("/v1/", s.between(api))
	mux.Handle("/v1/stream", api)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	var group sync.WaitGroup
	group.Go(func() {
		if err := hub.Run(ctx); err != nil {
			s.t.Errorf("hub: %v", err)
		}
	})
	group.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.t.Errorf("serve: %v", err)
		}
	})
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := server.Close(); err != nil {
			s.t.Errorf("stop server: %v", err)
		}
		group.Wait()
	})
}

// address is where the edges listen.
func (s *stack) address() string { return strings.TrimPrefix(s.url, "http://") }

// hold makes a call that is held.
func (s *stack) hold(amount int, note string) string {
	s.t.Helper()
	return s.holdAs(copilot, amount, note)
}

func (s *stack) holdAs(who *agents.Identity, amount int, note string) string {
	s.t.Helper()
	args, err := json.Marshal(map[string]any{"amount": amount, "customer": "81", "note": note})
	must(s.t, err)
	reply, err := s.rig.Call(s.t.Context(), broker.Request{
		Identity: who, Tool: "payments.refund", Arguments: args, Client: "desk-copilot", Justification: "The customer asked for it:\n" + note,
	})
	must(s.t, err)
	if reply.Pending == nil {
		s.t.Fatalf("call was not held: %s", reply.Answer.Raw)
	}
	return reply.CallID
}

// call makes a call of echo, whatever becomes of it.
func (s *stack) call(text string) error {
	args, err := json.Marshal(map[string]string{"text": text})
	must(s.t, err)
	_, err = s.rig.Call(s.t.Context(), broker.Request{Identity: copilot, Tool: "payments.echo", Arguments: args})
	return err
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	must(t, err)
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
