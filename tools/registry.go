package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of [Options] and [RegistryOptions].
const (
	DefaultTimeout     = 60 * time.Second
	DefaultConcurrency = 64
	DefaultRestart     = 200 * time.Millisecond
	DefaultMaxRestart  = 30 * time.Second

	// MaxTools is how many tools one upstream may list.
	MaxTools = 1000
)

// Options are an upstream's limits. Zero values mean the defaults.
type Options struct {
	ToolOptions
	Tools   map[string]ToolOptions // by the tool's own name; zero values mean the upstream's
	Breaker Breaker
}

// ToolOptions are the limits of calls.
type ToolOptions struct {
	Timeout     time.Duration // of one call, waiting for a slot included
	Concurrency int           // calls at once
}

// Called is what came of one call, for those who count.
type Called struct {
	Upstream string
	Took     time.Duration
	Answer   Answer
	Err      error // as of Tool.Call
}

// RegistryOptions configure a [Registry].
type RegistryOptions struct {
	Logger *slog.Logger // nil discards

	// Review looks at every set of tools before it becomes visible and returns a
	// finding for each, by name, that may not be called: the policies do not fit it,
	// its definition awaits a person. It is called one at a time and MUST NOT call
	// methods of the registry. Nil accepts all.
	Review func(tools []*Tool) map[string]string

	// OnChange is told after tools or findings have changed, with what
	// [Registry.Tools] then returned. Changes in quick succession may be told as
	// one. It is called from the goroutine of [Registry.Run], one at a time.
	OnChange func(tools []*Tool)

	// OnNotice is told what upstreams tell of themselves beside changes of their
	// tools: see [Surface]. It MUST NOT block.
	OnNotice func(upstream string, n Notice)

	// OnCall is told of each call that ended; may be nil. It MUST NOT block.
	OnCall func(ctx context.Context, c Called)

	// The delay before a stopped upstream is run again: at first, doubling, at most.
	Restart, MaxRestart time.Duration
}

// Registry names the tools of all upstreams, keeps the upstreams alive and says
// which tools may be called. Reading never waits: it sees an immutable snapshot.
type Registry struct {
	options  RegistryOptions
	log      *slog.Logger
	snapshot atomic.Pointer[snapshot]
	dirty    chan struct{} // OnChange is due

	mu       sync.Mutex
	entries  map[string]*entry // guarded by mu
	findings map[string]string // of Quarantine, by qualified name; guarded by mu
	running  bool              // guarded by mu
	pulse    chan struct{}     // closed and replaced at each change of state; guarded by mu
}

// entry is one upstream in the registry.
type entry struct {
	name, domain string
	upstream     Upstream
	options      Options
	registry     *Registry
	slots        chan struct{}
	toolSlots    map[string]chan struct{} // of tools with a limit of their own
	breaker      *breaker
	signal       chan struct{} // its definitions or health may have changed

	// Guarded by the registry's mu:
	known    []described
	features Features
	notes    []string // about definitions that could not become tools
	listed   bool     // known is from the upstream, not from Seed
	listErr  error
	runErr   error // why it stopped, until it runs again
	restarts int
	stopErr  error // why it stopped last
	stopAt   time.Time
	well     bool // when it was looked at last
	since    time.Time
}

// snapshot is the tools of one moment. It is never modified.
type snapshot struct {
	tools  []*Tool // by name
	byName map[string]*Tool
	byWire map[string]*Tool
}

// NewRegistry returns a registry without upstreams.
func NewRegistry(o RegistryOptions) *Registry {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Restart <= 0 {
		o.Restart = DefaultRestart
	}
	if o.MaxRestart <= 0 {
		o.MaxRestart = DefaultMaxRestart
	}
	r := &Registry{
		options:  o,
		log:      o.Logger,
		dirty:    make(chan struct{}, 1),
		entries:  map[string]*entry{},
		findings: map[string]string{},
		pulse:    make(chan struct{}),
	}
	r.snapshot.Store(&snapshot{})
	return r
}

// Add puts an upstream into the registry, before Run. The name is checked by
// [CheckUpstreamName]; the domain must not be empty.
func (r *Registry) Add(name, domain string, u Upstream, o Options) error {
	if err := CheckUpstreamName(name); err != nil {
		return fmt.Errorf("add upstream: %w", err)
	}
	if domain == "" || u == nil || o.negative() {
		return fmt.Errorf("add upstream %s: it needs a domain, an upstream and limits that are not negative", name)
	}
	o.complete()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return fmt.Errorf("add upstream %s: the registry runs already", name)
	}
	if _, ok := r.entries[name]; ok {
		return fmt.Errorf("add upstream %s: there is one of that name", name)
	}
	if s, ok := u.(Surface); ok && r.options.OnNotice != nil {
		s.OnNotice(func(n Notice) { r.options.OnNotice(name, n) })
	}
	e := &entry{
		name: name, domain: domain, upstream: u, options: o, registry: r,
		slots:     make(chan struct{}, o.Concurrency),
		toolSlots: map[string]chan struct{}{},
		signal:    make(chan struct{}, 1),
		breaker:   newBreaker(name, o.Breaker),
	}
	for tool, limits := range o.Tools {
		if limits.Concurrency > 0 {
			e.toolSlots[tool] = make(chan struct{}, limits.Concurrency)
		}
	}
	r.entries[name] = e
	return nil
}

// Seed makes definitions known that an upstream had when it was last seen, so that
// its tools exist while it is down. It has no effect on an upstream that has
// been listed already.
func (r *Registry) Seed(upstream string, definitions []json.RawMessage) error {
	known, notes, err := describe(upstream, nil, definitions)
	if err != nil {
		return fmt.Errorf("seed upstream %s: %w", upstream, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.entries[upstream]
	if !ok {
		return fmt.Errorf("seed upstream %s: there is no such upstream", printable(upstream))
	}
	if e.listed {
		return nil
	}
	e.known, e.notes = known, notes
	r.publish()
	return nil
}

// Lookup finds a tool by its qualified name. The error wraps [ErrUnknownTool], or is a
// [*QuarantinedError] that holds the tool.
func (r *Registry) Lookup(qualified string) (*Tool, error) {
	return found(r.snapshot.Load().byName[qualified])
}

// ByWire is Lookup by wire name.
func (r *Registry) ByWire(wire string) (*Tool, error) {
	return found(r.snapshot.Load().byWire[wire])
}

func found(t *Tool) (*Tool, error) {
	switch {
	case t == nil:
		return nil, ErrUnknownTool
	case t.Finding != "":
		return nil, &QuarantinedError{Tool: t}
	default:
		return t, nil
	}
}

// Tools are all tools, quarantined ones too, by name.
func (r *Registry) Tools() []*Tool { return slices.Clone(r.snapshot.Load().tools) }

// Quarantine stops a tool, known or not yet, until [Registry.Release].
func (r *Registry) Quarantine(qualified, finding string) error {
	if finding == "" {
		return errors.New("quarantine tool: a finding is needed")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings[qualified] = finding
	r.publish()
	return nil
}

// Release takes back a Quarantine. The error is a [*QuarantinedError] if the tool
// stays stopped for another reason.
func (r *Registry) Release(qualified string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.findings, qualified)
	r.publish()
	if t := r.snapshot.Load().byName[qualified]; t != nil && t.Finding != "" {
		return &QuarantinedError{Tool: t}
	}
	return nil
}

// Recheck calls RegistryOptions.Review again, after what it depends on has changed.
func (r *Registry) Recheck() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publish()
}

// publish makes what is known visible. The caller holds mu.
func (r *Registry) publish() {
	next := r.assemble()
	if r.options.Review != nil {
		next.apply(r.options.Review(slices.Clone(next.tools)))
	}
	r.announce()
	before := r.snapshot.Load()
	if slices.EqualFunc(before.tools, next.tools, sameTool) {
		return
	}
	r.snapshot.Store(next)
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// announce wakes those who wait for a change of state. The caller holds mu.
func (r *Registry) announce() {
	close(r.pulse)
	r.pulse = make(chan struct{})
}

// assemble makes a snapshot of what all upstreams are known to offer. The caller holds mu.
func (r *Registry) assemble() *snapshot {
	s := &snapshot{byName: map[string]*Tool{}, byWire: map[string]*Tool{}}
	for _, e := range r.entries {
		for _, k := range e.known {
			t := &Tool{
				Upstream: e.name, Domain: e.domain, Definition: k.Definition,
				Method: k.method, Finding: k.finding, schema: k.schema, output: k.output, wire: WireName(e.name, k.Name), entry: e,
			}
			s.tools = append(s.tools, t)
			s.byName[t.Name()] = t
		}
	}
	slices.SortFunc(s.tools, func(a, b *Tool) int { return strings.Compare(a.Name(), b.Name()) })
	for _, t := range s.tools { // operations have none; a tool whose wire name is taken was quarantined when it was described
		if other := s.byWire[t.wire]; t.Method == MethodCall && (other == nil || other.Finding != "") {
			s.byWire[t.wire] = t
		}
	}
	s.apply(r.findings)
	return s
}

// apply quarantines the tools that have a finding and had none.
func (s *snapshot) apply(findings map[string]string) {
	for name, finding := range findings {
		t := s.byName[name]
		if t == nil || t.Finding != "" || finding == "" {
			continue
		}
		t.Finding = cut(finding, maxFinding)
	}
}

func sameTool(a, b *Tool) bool {
	return a.Name() == b.Name() && a.Digest == b.Digest && a.Finding == b.Finding
}
