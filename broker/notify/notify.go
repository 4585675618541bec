package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/sentence"
)

// DefaultPerMinute is how many messages a channel takes in a minute.
const DefaultPerMinute = 20

// Channel is a way to people. Its errors say nothing that is secret.
type Channel interface {
	// Send delivers a message, or fails with an error that wraps [ErrRefused] if trying
	// again cannot help. It may be called again with the same message after any error.
	Send(ctx context.Context, m Message) error
}

// ErrRefused is a message that a channel will not take, however often it is sent.
var ErrRefused = errors.New("refused for good")

// Limited is a channel and how many messages it takes.
type Limited struct {
	Channel
	PerMinute float64 // DefaultPerMinute if 0
	// Local: it reaches whom only this replica knows, so that each replica uses its own.
	Local bool
}

// Log is what is followed; an [audit.Log] is one.
type Log interface {
	Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
}

// Config is what a [Notifier] needs. All but Shared, Withhold, Logger and Meter are required.
type Config struct {
	Log   Log
	Path  string // of the file that remembers
	Start audit.Cursor
	Open  []calls.Call // the calls that are held at Start: for a file that is new

	Channels map[string]Limited
	Routes   []Route
	// Words puts a call into the words of its operator. An error leaves out what it asks for.
	Words func(ctx context.Context, c calls.Call) (sentence.Sentence, error)
	// Withhold reports whether an argument must not be in a message; nil: [Secret].
	Withhold func(field, text string) bool
	URL      string // of the console
	Source   string // of this replica's events
	Shared   bool   // other replicas write the log too

	Logger *slog.Logger
	Meter  metric.Meter
}

// Notifier tells people of held calls.
type Notifier struct {
	cfg      Config
	book     *book
	store    *store
	metrics  *metrics
	channels map[string]*channel
	begun    time.Time
	ready    chan struct{} // closed when the log has been read up to its end of then

	mu     sync.Mutex   // held while the book and the file change together
	at     audit.Cursor // guarded by mu: how far the log was read
	stored audit.Cursor // guarded by mu: what the file says of it
	read   int64        // guarded by mu: how many records
	caught bool         // guarded by mu: ready is closed
}

// Open opens the file that remembers, and creates it if it is not there.
func Open(ctx context.Context, cfg Config) (*Notifier, error) {
	if cfg.Log == nil || cfg.Path == "" || cfg.Words == nil || cfg.URL == "" || cfg.Source == "" {
		return nil, errors.New("open notifier: log, path, words, url and source are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Meter == nil {
		cfg.Meter = noopmetric.Meter{}
	}
	if cfg.Withhold == nil {
		cfg.Withhold = Secret
	}
	n := &Notifier{cfg: cfg, book: newBook(cfg.Routes, cfg.Source, !cfg.Shared), channels: map[string]*channel{}, begun: time.Now(), ready: make(chan struct{})}
	for name, c := range cfg.Channels {
		n.book.local[name] = c.Local
		per := c.PerMinute
		if per == 0 {
			per = DefaultPerMinute
		}
		n.channels[name] = &channel{name: name, to: c.Channel, limit: rate.NewLimiter(rate.Limit(per/60), max(1, int(per/2)))}
	}
	var err error
	if n.store, err = openStore(ctx, cfg.Path); err != nil {
		return nil, fmt.Errorf("open notifier: %w", err)
	}
	if err = n.recall(ctx); err == nil {
		n.metrics, err = newMetrics(cfg.Meter, n.book)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open notifier: %w", err), n.store.close())
	}
	return n, nil
}

// recall goes on where the file stops. A new one begins with what is held now.
func (n *Notifier) recall(ctx context.Context) error {
	at, known, err := n.store.load(ctx, func(c calls.Call, said map[string]told) { n.book.put(c, said) })
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at, n.stored = at, at
	if known {
		return nil
	}
	n.at = n.cfg.Start
	for _, c := range n.cfg.Open {
		if c.State == calls.Held && n.book.put(c, nil) {
			if err := n.store.put(ctx, c, map[string]told{}, n.at); err != nil {
				return err
			}
		}
	}
	return n.store.reached(ctx, n.at)
}

// Close closes the file.
func (n *Notifier) Close() error {
	if err := n.store.close(); err != nil {
		return fmt.Errorf("close notifier: %w", err)
	}
	return nil
}

// Run follows the log and tells people until ctx is done; then it returns nil. What was
// not sent by then is sent by the next one.
func (n *Notifier) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.follow(ctx) })
	g.Go(func() error { return n.save(ctx) })
	g.Go(func() error { n.settle(ctx); return nil })
	for _, c := range n.channels {
		g.Go(func() error { return n.serve(ctx, c) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("run notifier: %w", err)
	}
	return nil
}

func (n *Notifier) follow(ctx context.Context) error {
	n.mu.Lock()
	at := n.at
	n.mu.Unlock()
	for rec, err := range n.cfg.Log.Follow(ctx, at) {
		if errors.Is(err, audit.ErrNotFound) && at != n.cfg.Start { // the file is of another log, or older than retention
			n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "notifications go on from now: the log does not go back to where they stopped", slog.Any("error", err))
			if err := n.restart(ctx); err != nil {
				return err
			}
			return n.follow(ctx)
		}
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		if err := n.observe(ctx, rec); err != nil && ctx.Err() == nil {
			return err
		}
	}
	if ctx.Err() == nil {
		return errors.New("follow log: it ended")
	}
	return nil
}

func (n *Notifier) restart(ctx context.Context) error {
	n.book.empty()
	if err := n.store.clear(ctx); err != nil {
		return err
	}
	return n.recall(ctx)
}

// holdMark stands in every intent that is held, and in hardly any other.
var holdMark = []byte(`"` + string(audit.Hold) + `"`)

// observe folds one record. Most are of calls that nobody has to decide on.
func (n *Notifier) observe(ctx context.Context, rec audit.Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = rec.Next
	n.pace(rec)
	_, topic, _ := audit.SplitLog(rec.Position.Log)
	if topic != audit.TopicCalls && topic != audit.TopicCheckpoints {
		return nil
	}
	head, err := audit.Peek(rec.Stored)
	if err != nil {
		return nil // what is no event is for the verifier to tell
	}
	switch {
	case topic == audit.TopicCheckpoints:
		return n.heard(ctx, rec, head)
	case head.Type == audit.CallIntent && bytes.Contains(rec.Stored, holdMark):
		return n.begin(ctx, rec)
	case head.Type != audit.CallIntent && n.book.knows(head.Subject):
		return n.goOn(ctx, rec)
	default:
		return nil
	}
}

func (n *Notifier) begin(ctx context.Context, rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		return nil //nolint:nilerr // what is no event is for the verifier to tell
	}
	var c calls.Call
	if _, err := c.Apply(e, rec.Position); err != nil || c.State != calls.Held || n.book.knows(c.ID) {
		return nil //nolint:nilerr // likewise
	}
	if !n.book.put(c, nil) {
		n.cfg.Logger.LogAttrs(ctx, slog.LevelError, "too many calls are held for notifications of all", slog.String("call_id", c.ID))
		return nil
	}
	n.stored = n.at
	return n.store.put(ctx, c, map[string]told{}, n.at)
}

func (n *Notifier) goOn(ctx context.Context, rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	c, said, changed := n.book.apply(e, rec.Position)
	switch {
	case !changed:
		return nil
	case said == nil:
		n.stored = n.at
		return n.store.forget(ctx, c.ID, n.at)
	default:
		n.stored = n.at
		return n.store.put(ctx, c, said, n.at)
	}
}

// heard learns whose turn it is.
func (n *Notifier) heard(ctx context.Context, rec audit.Record, head audit.Head) error {
	if !n.cfg.Shared || head.Type != audit.TreeSigned {
		return nil
	}
	e, err := rec.Event()
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	changed := n.book.heard(e.Source, e.Time)
	if len(changed) == 0 {
		return nil
	}
	return n.store.said(ctx, changed)
}

// save stores how far the log was read, every now and then.
func (n *Notifier) save(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n.saveOnce(context.WithoutCancel(ctx))
		}
		if err := n.saveOnce(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (n *Notifier) saveOnce(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at == n.stored {
		return nil
	}
	if err := n.store.reached(ctx, n.at); err != nil {
		return fmt.Errorf("store cursor: %w", err)
	}
	n.stored = n.at
	return nil
}

// LaterError is the error of a channel that says when it will take messages again.
type LaterError struct {
	After time.Duration
	Err   error
}

// Error is that of the error.
func (l *LaterError) Error() string { return l.Err.Error() }

// Unwrap gives the error.
func (l *LaterError) Unwrap() error { return l.Err }
