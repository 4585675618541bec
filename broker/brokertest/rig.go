// Package brokertest runs a whole broker inside a test: a real embedded log, a real
// registry, real policies. Only the edges (HTTP, tokens) are left out; identities
// are made by hand.
package brokertest

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/tools"
)

const tenant = "acme"

// Options say what the broker under test is made of.
type Options struct {
	Dir       string                    // of the log; a fresh one if empty
	Policies  string                    // Cedar
	Upstreams map[string]tools.Upstream // by name; each is in the domain of its name
	Wary      bool                      // whether definitions that change are quarantined
	Timeout   time.Duration             // of a call to an upstream
	HoldWait  time.Duration
	AckWait   time.Duration
	Limit     float64 // calls a second for one agent; 10,000 if 0
	Limits    broker.Limits
	Wrap      func(audit.Log) audit.Log // puts faults between broker and log
	Payloads  audit.Payloads            // instead of the log's own

	MaxHoldsPerCaller int
	Grace             time.Duration // that Stop gives running calls; a second if 0
	EndsWith          error         // what Run is to fail with; nil: it is not to fail
	Seal              bool          // whether checkpoints are signed meanwhile
	Key               string        // the file of the key that seals the log; one in Dir if empty
	KeyAge            time.Duration

	// Of a replica among several: its session, of a log that the test opened and closes.
	Session *audittest.Replica
	Log     *embedded.Log
	Replica string
	Silence time.Duration

	Spool broker.Spool
	Tasks broker.Tasks
	Once  map[string]broker.Once

	DryRuns map[string]broker.DryRun

	Redact *redact.Rules // of every domain
}

// Rig is a running broker and its parts.
type Rig struct {
	*broker.Broker
	Dir      string
	Log      *embedded.Log
	Registry *tools.Registry
	Policies *broker.Policies

	stop  func()
	ended chan struct{} // closed when Run has returned
}

// Start runs a broker until Stop, or the end of the test.
func Start(tb testing.TB, o Options) *Rig {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	if o.Limit == 0 {
		o.Limit = 10_000
	}
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	var err error
	log := o.Log
	if log == nil {
		log, err = embedded.Open(ctx, o.Dir, embedded.Options{ReserveBytes: 1 << 20})
		must(tb, err)
	}
	r := &Rig{Dir: o.Dir, Log: log, ended: make(chan struct{})}
	r.Policies, err = broker.NewPolicies(Files(o.Policies), policy.Options{})
	must(tb, err)
	r.Registry = tools.NewRegistry(tools.RegistryOptions{Review: r.review})
	for name, u := range o.Upstreams {
		must(tb, r.Registry.Add(name, name, u, tools.Options{ToolOptions: tools.ToolOptions{Timeout: o.Timeout}}))
	}
	sealed, err := seal.OpenKeys(cmp.Or(o.Key, filepath.Join(o.Dir, "keys", "seal.key")), tenant)
	must(tb, err)
	trust := map[string]broker.Trust{}
	for name := range o.Upstreams {
		if !o.Wary {
			trust[name] = broker.TrustAny
		}
	}
	cfg := broker.Config{
		Keys: sealed, KeyAge: o.KeyAge, Tenant: tenant, Replica: cmp.Or(o.Replica, "one"), Log: log, Payloads: cmp.Or[audit.Payloads](o.Payloads, log), Catalogue: r.Registry, Policies: r.Policies, Trust: trust,
		HoldWait: o.HoldWait, AckWait: o.AckWait, CallsPerAgent: o.Limit, Limits: o.Limits, MaxHoldsPerCaller: o.MaxHoldsPerCaller, Silence: o.Silence, Spool: o.Spool, Tasks: o.Tasks, Once: o.Once, DryRuns: o.DryRuns,
		Redact: func(string) *redact.Rules { return o.Redact },
	}
	cfg.Erase = func(ctx context.Context, e audit.Erasure) error { return log.EraseRecords(ctx, e.Records...) }
	if o.Session != nil {
		cfg.Log, cfg.Fencer = o.Session, o.Session
	}
	if o.Wrap != nil {
		cfg.Log = o.Wrap(cfg.Log)
	}
	r.Broker, err = broker.Open(ctx, cfg)
	must(tb, err)
	below := []func(context.Context) error{r.Registry.Run}
	if o.Seal {
		sealer, err := seal.NewSealer(seal.Config{Log: log, Trees: log, Key: sealed.Key(), Tenant: tenant, Source: "deed://acme/one", Interval: 20 * time.Millisecond})
		must(tb, err)
		below = append(below, sealer.Run)
	}
	r.run(ctx, tb, cancel, o, below)
	must(tb, r.Registry.WaitReady(ctx))
	must(tb, r.Pin(ctx, r.Registry.Tools()))
	return r
}

func (r *Rig) run(ctx context.Context, tb testing.TB, cancel func(), o Options, below []func(context.Context) error) {
	tb.Helper()
	var running sync.WaitGroup
	base, endBase := context.WithCancel(context.WithoutCancel(ctx))
	for _, run := range below {
		running.Go(func() {
			if err := run(base); err != nil {
				tb.Errorf("run what stands below the broker: %v", err)
			}
		})
	}
	running.Go(func() {
		defer endBase()
		defer close(r.ended)
		err := r.Run(ctx, cmp.Or(o.Grace, time.Second))
		fenced := o.Session != nil && o.EndsWith == nil && errors.Is(err, audit.ErrFenced) // as who is killed may find
		if !errors.Is(err, o.EndsWith) && !fenced {
			tb.Errorf("run broker: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if o.Session != nil {
			_ = o.Session.Close() // never fails
			return
		}
		if err := r.Log.Close(); err != nil {
			tb.Errorf("close log: %v", err)
		}
	})
	tb.Cleanup(r.stop)
}

// review is what the server has of it.
func (r *Rig) review(ts []*tools.Tool) map[string]string {
	found := r.Policies.Review(ts)
	if r.Broker != nil {
		maps.Copy(found, r.Untrusted(ts))
	}
	return found
}

// Stop ends the broker in good order: running calls end, held calls stay held.
func (r *Rig) Stop() { r.stop() }

// Wait waits until the broker has ended by itself.
func (r *Rig) Wait() { <-r.ended }

// Ended is closed once the broker has ended, by itself or not.
func (r *Rig) Ended() <-chan struct{} { return r.ended }

// Files makes policy files of a text.
func Files(text string) []policy.File {
	return []policy.File{{Name: "test.cedar", Text: []byte(text)}}
}

// Person is the identity of a human's own token.
func Person(name string, roles ...string) *agents.Identity {
	return &agents.Identity{
		Issuer: "https://idp.example", Principal: name, Roles: roles,
		TokenDigest: "00", Expires: time.Now().Add(time.Hour),
	}
}

// Through is the identity of a token with which agents act for a person, the current actor first.
func Through(p *agents.Identity, actors ...string) *agents.Identity {
	id := *p
	for _, a := range actors {
		id.Chain = append(id.Chain, agents.Actor{ID: a})
	}
	return &id
}

// Events are all events of a call, in order.
func (r *Rig) Events(tb testing.TB, callID string) []audit.Event {
	tb.Helper()
	var events []audit.Event
	for rec, err := range r.Log.Read(tb.Context(), "") {
		must(tb, err)
		e, err := rec.Event()
		must(tb, err)
		if e.Subject == callID {
			events = append(events, e)
		}
	}
	return events
}

// At is where the first event of a call stands.
func (r *Rig) At(tb testing.TB, callID string) audit.Position {
	tb.Helper()
	for rec, err := range r.Log.Read(tb.Context(), "") {
		must(tb, err)
		if head, err := audit.Peek(rec.Stored); err == nil && head.Subject == callID {
			return rec.Position
		}
	}
	tb.Fatal("no event of call " + callID)
	return audit.Position{}
}

// Types are the types of a call's events, in order.
func (r *Rig) Types(tb testing.TB, callID string) []audit.Type {
	tb.Helper()
	var types []audit.Type
	for _, e := range r.Events(tb, callID) {
		types = append(types, e.Type)
	}
	return types
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
