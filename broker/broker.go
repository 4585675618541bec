package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/broker/sentence"
	"github.com/deedbroker/deed/tools"
)

// Defaults of [Config].
const (
	DefaultHoldWait          = 45 * time.Second // below the 60 s after which TypeScript clients give up
	DefaultAckWait           = 5 * time.Second
	DefaultMaxHolds          = 10_000
	DefaultMaxHoldsPerCaller = 100
	DefaultCallsPerAgent     = 50.0 // a second
	DefaultSilence           = 3 * time.Second
	DefaultTokenLifetime     = 24 * time.Hour
)

// Catalogue is what can be called; *tools.Registry is one.
type Catalogue interface {
	// Lookup finds a tool by its name upstream.tool. Its errors are those of tools.Registry.
	Lookup(name string) (*tools.Tool, error)
	// Tools is every tool known now, in order of their names.
	Tools() []*tools.Tool
	// Seed makes definitions known that an upstream had when it was last seen. An
	// upstream that is not configured any more is an error, and changes nothing.
	Seed(upstream string, definitions []json.RawMessage) error
	// Page lists a page of what an upstream offers beside its tools.
	Page(ctx context.Context, upstream string, l tools.Listing, cursor string) (tools.Page, error)
	// Unsubscribe ends a subscription to changes of a resource.
	Unsubscribe(ctx context.Context, upstream, uri string) error
	// Recheck has every tool reviewed again, after what that depends on has changed.
	Recheck()
}

// Config is what a broker needs. Tenant, Log, Payloads, Catalogue and Policies are required.
type Config struct {
	Tenant    string
	Replica   string // this process's name among those that share the log
	Version   string
	Keys      SealKeys // of the log's checkpoints; nil: it has none, and who makes each call is not stated
	Log       audit.Log
	Fencer    audit.Fencer // of the same log; nil: no other replica writes it
	Payloads  audit.Payloads
	Tasks     Tasks // keeps what is needed to follow upstreams' tasks after a restart; nil: their calls are unknown then
	Spool     Spool // takes outcomes while the log is away; nil: they are kept in memory, and their callers told that they are unknown
	Catalogue Catalogue
	Policies  *Policies
	Trust     map[string]Trust // by upstream; those that are not there: TrustFirst

	// Sentences put calls into words, by tool; see package sentence.
	Sentences map[string]sentence.Template

	// DryRuns say how it is found out what a call would change, by tool.
	DryRuns map[string]DryRun

	// Redact gives the rules by which arguments and answers of a domain's calls are put on
	// record; may be nil, and give nil: all of them then is.
	Redact func(domain string) *redact.Rules

	// Once says how repeats of calls are recognised, by tool: upstream.tool, or upstream.* for the rest.
	Once map[string]Once

	HoldWait          time.Duration // how long a held call's request stays open
	AckWait           time.Duration // how long a call waits for the log
	MaxHolds          int           // open at once
	MaxHoldsPerCaller int
	CallsPerAgent     float64 // a second, with a burst of twice as many
	Limits            Limits  // more of them
	// Silence is for how long nothing may be heard of another replica that runs calls
	// until it is asked whether it lives. No safety rests on it.
	Silence time.Duration
	// KeyAge is how old the key that seals the log gets until another takes its place, where
	// no other replica has to be given it; zero: as old as people let it.
	KeyAge time.Duration
	// Agents are the roles of the registered agents, by their ids; may be nil. It is asked
	// whenever somebody wants to revoke one.
	Agents func() map[string][]string
	// TokenLifetime is the longest that an accepted token lives: what is revoked of single
	// tokens, or of those issued before a moment, need last no longer.
	TokenLifetime time.Duration

	// Erase erases all payloads of the records that an erasure names, from the log and from
	// what was made of it; doing it again is harmless. Nil: nobody can ask for that.
	Erase func(ctx context.Context, e audit.Erasure) error

	// InForce asks once more whether the token behind an identity is in force, before a
	// call that was held runs: a *[agents.Rejection] if not. Nil: nobody is asked.
	InForce func(ctx context.Context, id *agents.Identity) error

	Logger *slog.Logger
	Meter  metric.Meter
	Tracer trace.Tracer
}

func (c *Config) complete() error {
	if c.Tenant == "" || c.Log == nil || c.Payloads == nil || c.Catalogue == nil || c.Policies == nil {
		return errors.New("tenant, log, payloads, catalogue and policies are required")
	}
	if c.Replica == "" {
		c.Replica = "deed"
	}
	setDefault(&c.HoldWait, DefaultHoldWait)
	setDefault(&c.AckWait, DefaultAckWait)
	setDefault(&c.MaxHolds, DefaultMaxHolds)
	setDefault(&c.MaxHoldsPerCaller, DefaultMaxHoldsPerCaller)
	setDefault(&c.CallsPerAgent, DefaultCallsPerAgent)
	setDefault(&c.Silence, DefaultSilence)
	setDefault(&c.TokenLifetime, DefaultTokenLifetime)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = noopmetric.Meter{}
	}
	if c.Tracer == nil {
		c.Tracer = nooptrace.Tracer{}
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Broker takes calls and votes. It is safe for concurrent use.
type Broker struct {
	cfg    Config
	source string // of its events
	opened time.Time

	reload sync.Mutex // one activation or pinning at a time

	recents *recents
	pins    *pins
	flights *flights
	holds   *holds
	repeats *repeats // the calls that can be meant again
	bars    *bars    // the calls that nobody knows the outcome of
	others  *others
	limits  *limits
	metrics *metrics

	denied     *denied                  // who has been revoked
	granted    *granted                 // approvals in advance
	keeping    *keeping                 // legal holds, and erasures on request
	unfinished map[string]audit.Erasure // by event: on record when it was opened, and perhaps not carried out
	executions *executions              // the calls whose tools run here
	statements *statements              // of who makes each call
	sealKeys   sealKeys                 // that have signed checkpoints
	rejections *rejections
	readings   readings      // that are on record
	browsed    browsed       // lists and streams that are
	answers    answers       // that are not, as they were
	dryRuns    chan struct{} // those under way

	left    []taskLeft    // that an earlier run was waiting for; set by Open
	spooled chan struct{} // there is something to write

	cursor audit.Cursor    // where following starts; set by Open
	work   tasks           // requests, executions and releases under way
	live   context.Context //nolint:containedctx // of executions, which outlive the requests that start them
	stop   context.CancelFunc

	halting sync.Once
	fenced  chan struct{} // closed when another replica has taken this one's place
}

// Open reads the log: calls that a crash of this replica left open are closed as
// unknown, unless their upstreams work on them as tasks, which Run asks about, held calls are pending again, the tools that it remembers are known to the catalogue,
// and the policies in force are recorded if they are not those of last time. It
// fails if the log cannot be read or written.
func Open(ctx context.Context, cfg Config) (*Broker, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("open broker: %w", err)
	}
	b := &Broker{
		cfg:     cfg,
		source:  "deed://" + cfg.Tenant + "/" + cfg.Replica,
		recents: newRecents(),
		pins:    newPins(),
		flights: newFlights(),
		holds:   newHolds(),
		repeats: newRepeats(),
		bars:    newBars(),
		others:  newOthers(),
		fenced:  make(chan struct{}),
		spooled: make(chan struct{}, 1),
		limits:  newLimits(cfg.CallsPerAgent, cfg.Limits),
		metrics: m,

		denied:     newDenied(),
		granted:    newGranted(),
		keeping:    newKeeping("deed://" + cfg.Tenant + "/" + cfg.Replica),
		executions: newExecutions(),
		statements: &statements{},
		rejections: newRejections(),
		dryRuns:    make(chan struct{}, maxDryRuns),
	}
	// Executions outlive the requests that started them; Run ends them.
	b.live, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.opened = time.Now()
	if err := b.recover(ctx); err != nil {
		b.stop()
		return nil, fmt.Errorf("open broker: %w", err)
	}
	return b, nil
}

// Run follows the log, releases and expires held calls until ctx is done. It then
// waits up to grace for the calls that are running; those that are not done by
// then are recorded as unknown, unless the next broker can follow them as tasks of their upstream. Held calls stay held, and whoever waits for one is
// told so at once. If the log cannot be read any more Run ends likewise, with an error.
// If another replica takes this one's place nothing is waited for, and the error is
// [audit.ErrFenced].
func (b *Broker) Run(ctx context.Context, grace time.Duration) error {
	g, follow := errgroup.WithContext(context.WithoutCancel(ctx))
	following, endFollow := context.WithCancel(follow)
	g.Go(func() error { return b.follow(following) })
	g.Go(func() error { return b.housekeep(following) })
	g.Go(func() error { return b.mourn(following) })
	g.Go(func() error { return b.writeSpooled(following) })
	g.Go(func() error { b.finishErasures(following, b.unfinished); return nil })
	for _, h := range b.holds.voted() {
		b.consider(h)
	}
	for _, l := range b.left {
		b.work.Go(func() { b.followTask(b.live, l) })
	}
	select {
	case <-ctx.Done():
	case <-follow.Done():
	case <-b.fenced:
	}
	b.drain(grace)
	endFollow()
	err := g.Wait()
	<-b.work.none() // what the last records led to
	select {
	case <-b.fenced:
		err = errors.Join(err, audit.ErrFenced)
	default:
	}
	if err != nil {
		return fmt.Errorf("run broker: %w", err)
	}
	return nil
}

// Start is the end of the log as Open found it.
func (b *Broker) Start() audit.Cursor { return b.cursor }

// drain lets nothing new begin, waits for running calls, then cuts off what is left.
func (b *Broker) drain(grace time.Duration) {
	b.flights.close()
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-b.work.none():
	case <-t.C:
	}
	b.stop()
	<-b.work.none()
}
