package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/dpop"
	"github.com/deedbroker/deed/agents/oidc"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/sink"
	"github.com/deedbroker/deed/audit/witness"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/console"
	"github.com/deedbroker/deed/broker/live"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/notify/push"
	"github.com/deedbroker/deed/broker/ongoing"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// Grace is how long running calls may take to end when the server stops.
const Grace = 20 * time.Second

// farewell is how much longer requests are waited for: those whose calls are cut off are still told so.
const farewell = 5 * time.Second

// Names in a data directory, beside those of the log and the index.
const (
	PulsarDir   = "pulsar" // what a log on Pulsar keeps here; it can be deleted
	SpoolDir    = "spool"  // outcomes that the log could not take yet
	TasksDir    = "tasks"  // how upstreams' tasks are found after a restart
	KeyFile     = "keys/checkpoints.key"
	KnownPubKey = "keys/checkpoints.pub" // the verifier key, for whoever copies it to where the operator cannot change it
)

// Options are what a server needs beside its configuration.
type Options struct {
	Version string
	Replica string // its name among those that share the log; DefaultReplica if empty
	Logger  *slog.Logger
	Meter   metric.Meter // nil: no metrics
	Tracer  trace.Tracer // nil: traces are passed on, none are made
	Metrics http.Handler // serves /metrics
}

// DefaultReplica is the name of the only replica of an embedded log.
const DefaultReplica = "main"

// Server is a broker ready to serve.
type Server struct {
	cfg      *config.Config
	opt      Options
	listener net.Listener
	http     *http.Server

	log       store
	spooled   func() int // outcomes that wait for the log; nil if none ever do
	index     *index.Index
	sealer    *seal.Sealer
	keys      *seal.Keys
	registry  *tools.Registry
	upstreams atomic.Pointer[upstreamMetrics] // nil without metrics
	policies  *broker.Policies
	keepers   *keepers
	agents    atomic.Pointer[map[string]config.Agent] // as configured; a reload replaces them
	broker    *broker.Broker
	verifier  *swappable
	proofs    *dpop.Checker // of all verifiers, one after the other
	hub       *live.Hub
	mcp       *mcpapi.Handler
	api       http.Handler
	console   *console.Console
	notifier  *notify.Notifier // nil if nobody is told
	push      *push.Channel    // nil if nothing is pushed
	sinks     []*sink.Sink
	witnesses *witness.Rounds // nil without any

	shadowErr    atomic.Pointer[error]                 // why the draft of the policies is not asked
	toolsChanged func()                                // tells MCP clients; set once, before Run
	notice       func(upstream string, n tools.Notice) // the same
	up           chan struct{}                         // closed when serving
	serving      atomic.Bool                           // between the start of Run and the order to stop
	closers      []func() error
}

// Open opens the log and whatever stands on it, type-checks the policies, closes what
// a crash left open and starts to listen. Nothing is served before Run. An error
// leaves nothing open.
func Open(ctx context.Context, cfg *config.Config, opt Options) (_ *Server, err error) {
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Replica == "" {
		opt.Replica = DefaultReplica
	}
	s := &Server{cfg: cfg, opt: opt, up: make(chan struct{}), proofs: dpop.New(dpop.Config{})}
	s.agents.Store(&cfg.Agents)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openLog, s.openWitnesses, s.openTools, s.openSinks, s.openBroker, s.openShadow, s.openNotify, s.openIdentity, s.openEdges, s.openAPI, s.listen,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("open server: %w", err)
		}
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Reject counts a credential that was refused outside of the server, as the server
// counts its own.
func (s *Server) Reject(ctx context.Context, r *agents.Rejection) { s.broker.Reject(ctx, r) }

func (s *Server) source() string { return "deed://" + s.cfg.Tenant + "/" + s.opt.Replica }

func (s *Server) openLog(ctx context.Context) error {
	var err error
	if s.log, err = s.openStore(ctx); err != nil {
		return err
	}
	s.closers = append(s.closers, s.log.Close)
	if s.keys, err = seal.OpenKeys(SealKeyFile(s.cfg), s.cfg.Tenant); err != nil {
		return err
	}
	var turn seal.Turn // a log of one writer needs none
	if t, ok := s.log.(seal.Turn); ok {
		turn = caughtUp{t, s}
	}
	if s.sealer, err = seal.NewSealer(seal.Config{
		Log: s.log, Trees: s.log, Key: s.keys.Key(), Tenant: s.cfg.Tenant, Source: s.source(), Turn: turn, Logger: s.opt.Logger,
	}); err != nil {
		return err
	}
	s.index, err = index.Open(ctx, filepath.Join(s.cfg.Data, index.FileName), s.opt.Logger)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.index.Close)
	return nil
}

func (s *Server) openBroker(ctx context.Context) error {
	fencer, kept, err := s.shared()
	if err != nil {
		return err
	}
	redacted, err := redactions(s.cfg)
	if err != nil {
		return err
	}
	tasks, err := ongoing.Open(filepath.Join(s.cfg.Data, TasksDir))
	if err != nil {
		return err
	}
	s.broker, err = broker.Open(ctx, broker.Config{
		Redact: redacted,
		Fencer: fencer, Spool: kept, Tasks: tasks,
		Tenant: s.cfg.Tenant, Replica: s.opt.Replica, Version: s.opt.Version, Keys: logKeys{s.keys, func() { s.succeed(ctx) }}, KeyAge: s.cfg.Log.KeyAge.Duration,
		Log: s.log, Payloads: s.log, Catalogue: s.registry, Policies: s.policies, Trust: trust(s.cfg),
		Sentences: sentences(s.cfg), DryRuns: dryRuns(s.cfg), Once: once(s.cfg),
		HoldWait: s.cfg.Holds.Wait.Duration, MaxHoldsPerCaller: s.cfg.Holds.MaxOpen,
		CallsPerAgent: s.cfg.Limits.CallsPerAgent.PerSecond(), Limits: callLimits(s.cfg.Limits.Calls), TokenLifetime: s.cfg.Limits.TokenLifetime.Duration, Agents: s.agentRoles,
		Erase: s.erase, InForce: s.inForce, Logger: s.opt.Logger, Meter: s.opt.Meter, Tracer: s.opt.Tracer,
	})
	if err != nil {
		return err
	}
	s.succeed(ctx)
	return nil
}

func (s *Server) openIdentity(context.Context) error {
	v, err := s.newVerifier(s.cfg)
	if err != nil {
		return err
	}
	s.verifier = newSwappable(v, s.broker)
	return nil
}

func (s *Server) newVerifier(cfg *config.Config) (*oidc.Verifier, error) {
	c := Verification(cfg, s.opt.Logger)
	c.Withdrawn, c.Proofs = s.withdrawn, s.proofs
	return oidc.New(c)
}

// Verification is how tokens are verified by a configuration.
func Verification(cfg *config.Config, logger *slog.Logger) oidc.Config {
	c := oidc.Config{
		Audience: cfg.Audience(), Agents: map[string]oidc.Agent{},
		Skew: cfg.Limits.ClockSkew.Duration, MaxLifetime: cfg.Limits.TokenLifetime.Duration, Logger: logger,
	}
	for _, i := range cfg.Issuers {
		c.Issuers = append(c.Issuers, verified(i))
	}
	for name, a := range cfg.Agents {
		c.Agents[name] = oidc.Agent{Roles: a.Roles, ProofRequired: a.DPoP == config.DPoPRequired}
	}
	return c
}

// verified is an issuer as the verifier takes it.
func verified(i config.Issuer) oidc.Issuer {
	issuer := oidc.Issuer{
		URL: i.URL, Prefix: i.Prefix, Audience: i.Audience, Hosts: i.Hosts, PeopleClients: i.PeopleClients, Clients: i.Clients,
		Algorithms: i.Algorithms, AllowPlainType: i.AllowPlainType, AllowIDTokens: i.AllowIDTokens, ProofRequired: i.DPoP == config.DPoPRequired, NonceRequired: i.DPoPNonce,
		Claims: oidc.Claims{
			Roles: i.Claims.Roles, Agent: i.Claims.Agent, Subject: i.Claims.Subject,
			ServiceAccount: oidc.ServiceAccount{Claim: i.Claims.ServiceAccount.Claim, Value: i.Claims.ServiceAccount.Value},
		},
	}
	if in := i.Introspection; in != nil {
		issuer.Introspection = &oidc.Introspection{
			Endpoint: in.Endpoint, ClientID: in.ClientID, Secret: in.ClientSecret.Resolve, Opaque: in.Opaque, Every: in.Every.Duration,
		}
	}
	return issuer
}

func (s *Server) listen(ctx context.Context) error {
	var err error
	s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.closers = append(s.closers, func() error {
		if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return nil
}

// close gives back what was opened, the latest first.
func (s *Server) close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// policyFiles reads the files that the configuration names.
func policyFiles(cfg *config.Config) ([]policy.File, error) {
	paths, err := cfg.PolicyFiles()
	if err != nil {
		return nil, err
	}
	return policy.Load(paths, "")
}
