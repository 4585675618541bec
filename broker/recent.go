package broker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// pendingFor is how long a call counts that was permitted and has not been read back.
const pendingFor = 10 * time.Minute

// recents are the values of the policies' counters: a fold over the intents and
// releases in the log, plus what this replica has permitted and not read back yet. One
// decision at a time is made by them, so that of two calls at once the second sees the first.
type recents struct {
	mu       sync.Mutex
	counters []policy.Counter     // guarded by mu
	tallies  *policy.Tallies      // guarded by mu
	at       map[string]int64     // guarded by mu: the last record of each log that was folded
	pending  map[string]permitted // guarded by mu: by call id
}

// permitted is a call of this replica's that is not folded yet.
type permitted struct {
	at   time.Time
	adds map[string]int64 // by counter and key
}

func newRecents() *recents {
	return &recents{tallies: policy.NewTallies(), at: map[string]int64{}, pending: map[string]permitted{}}
}

// values are those of counters for a call. The caller holds mu.
func (r *recents) values(counters []policy.Counter, tool string, who audit.Identity, now time.Time) map[string]int64 {
	for id, p := range r.pending {
		if now.Sub(p.at) > pendingFor {
			delete(r.pending, id)
		}
	}
	values := map[string]int64{}
	for _, c := range counters {
		key := c.Key(tool, who)
		values[c.Name] = r.tallies.Value(c, key, now)
		for _, p := range r.pending {
			values[c.Name] = policy.Saturated(values[c.Name], p.adds[key])
		}
	}
	return values
}

// now are the values of counters for a call.
func (r *recents) now(counters []policy.Counter, tool string, who audit.Identity, now time.Time) map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.values(counters, tool, who, now)
}

// positions is how far the log is folded. The caller holds mu.
func (r *recents) positions() []audit.Position {
	var at []audit.Position
	for _, log := range slices.Sorted(maps.Keys(r.at)) {
		at = append(at, audit.Position{Log: log, Index: r.at[log]})
	}
	return at
}

// add counts a permitted call. The caller holds mu.
func (r *recents) add(in audit.Intent, adds func(policy.Counter) (int64, error), at time.Time) error {
	for _, c := range r.counters {
		if !c.Counts(in.Tool) {
			continue
		}
		n, err := adds(c)
		if err == nil {
			err = r.tallies.Add(c, c.Key(in.Tool, in.Identity), at, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// drop takes back what a call was counted for that has not become an intent.
func (r *recents) drop(callID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, callID)
}

// askCounting decides by a set and the counters of this moment, of which the set's are the
// first. If it permits, the call counts for all of them from now on.
func (b *Broker) askCounting(set *policy.Set, callID string, t *tools.Tool, args tools.Arguments, r policy.Request, who audit.Identity, all []policy.Counter) (audit.Decision, error) {
	if len(all) == 0 {
		return set.Decide(r)
	}
	counters := set.Counters()
	b.recents.mu.Lock()
	defer b.recents.mu.Unlock()
	r.Recent = b.recents.values(counters, t.Name(), who, r.Now)
	recent := &audit.Recent{At: b.recents.positions()}
	mine := permitted{at: r.Now, adds: map[string]int64{}}
	for i, c := range all {
		if !c.Counts(t.Name()) {
			continue
		}
		n, err := c.Adds(args.Value)
		if i >= len(counters) && err != nil {
			continue // only a draft sums what is no number here
		}
		if err == nil {
			err = b.recents.tallies.Room(r.Now)
		}
		if err != nil {
			return audit.Decision{Effect: audit.Deny, PolicySet: set.Digest(), Errors: []string{err.Error()}}, err
		}
		if i < len(counters) {
			recent.Adds = append(recent.Adds, audit.Counted{Counter: c.Name, Sum: c.Sum, N: n})
		}
		mine.adds[c.Key(t.Name(), who)] = n
	}
	d, err := set.Decide(r)
	if set.Recalls(t.Name()) {
		for _, c := range counters {
			recent.Values = append(recent.Values, audit.Counted{Counter: c.Name, N: r.Recent[c.Name]})
		}
	}
	if recent.Values != nil || len(recent.Adds) > 0 {
		d.Recent = recent
	}
	if err == nil && d.Effect == audit.Allow && len(mine.adds) > 0 && callID != "" {
		b.recents.pending[callID] = mine
	}
	return d, err
}

// count folds a record about a call into the counters: an intent that was permitted.
// Releases come by way of their holds.
func (b *Broker) count(ctx context.Context, rec audit.Record, head audit.Head) {
	b.recents.mu.Lock()
	defer b.recents.mu.Unlock()
	if len(b.recents.counters) == 0 || !b.recents.next(rec.Position) || head.Type != audit.CallIntent {
		return
	}
	e, err := rec.Event()
	if err == nil {
		var in audit.Intent
		if in, err = audit.DataOf[audit.Intent](e); err == nil && in.Decision.Effect == audit.Allow {
			err = b.recents.add(in, b.adds(ctx, in.Decision, rec.Position), e.Time)
			delete(b.recents.pending, e.Subject)
		}
	}
	if err != nil {
		b.strange(ctx, rec, fmt.Errorf("count call: %w", err))
	}
}

// countReleased folds a release that counted.
func (b *Broker) countReleased(ctx context.Context, h *hold, e audit.Event) {
	b.recents.mu.Lock()
	defer b.recents.mu.Unlock()
	delete(b.recents.pending, h.id)
	if len(b.recents.counters) == 0 {
		return
	}
	c, _ := h.snapshot()
	_, at := c.Arguments()
	if err := b.recents.add(c.Intent, b.adds(ctx, c.Release.Decision, at), e.Time); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "released call not counted", slog.String("call_id", c.ID), slog.Any("error", err))
	}
}

// next reports whether a record is new, and notes it. The caller holds mu.
func (r *recents) next(p audit.Position) bool {
	if last, seen := r.at[p.Log]; seen && p.Index <= last {
		return false
	}
	r.at[p.Log] = p.Index
	return true
}

// adds is what a call adds to a counter: as its decision says, or by its arguments if
// the counter was declared later.
func (b *Broker) adds(ctx context.Context, d audit.Decision, at audit.Position) func(policy.Counter) (int64, error) {
	return func(c policy.Counter) (int64, error) {
		if c.Sum == "" {
			return 1, nil
		}
		if d.Recent != nil {
			for _, counted := range d.Recent.Adds {
				if counted.Sum == c.Sum { // of whichever counter: the name may have meant another then
					return counted.N, nil
				}
			}
		}
		p, err := b.cfg.Payloads.Payload(ctx, at, audit.PayloadArguments)
		if err != nil {
			return 0, fmt.Errorf("read what %s sums: %w", c.Name, err)
		}
		args, err := tools.ParseArguments(p.Body)
		if err != nil {
			return 0, err
		}
		return c.Adds(args.Value)
	}
}

// recount makes the counters those of a set, before it is in force, out of the log.
func (b *Broker) recount(ctx context.Context, counters []policy.Counter) error {
	b.recents.mu.Lock()
	// Those in force are kept: decisions are made by them until the others are.
	for _, c := range b.recents.counters {
		if !slices.ContainsFunc(counters, func(other policy.Counter) bool { return other.String() == c.String() }) {
			counters = append(counters, c)
		}
	}
	known := len(counters) == len(b.recents.counters)
	b.recents.mu.Unlock()
	if known || len(counters) == 0 {
		return nil
	}
	fresh := newRecents()
	fresh.counters = counters
	r := recount{b: b, into: fresh, held: map[string]audit.Intent{}}
	if err := r.read(ctx); err != nil {
		return err
	}
	b.recents.mu.Lock()
	defer b.recents.mu.Unlock()
	if err := r.read(ctx); err != nil { // what came meanwhile; nothing is folded until this is done
		return err
	}
	b.recents.counters, b.recents.tallies, b.recents.at = counters, fresh.tallies, fresh.at
	return nil
}

// recount is reading the log for counters.
type recount struct {
	b      *Broker
	into   *recents
	held   map[string]audit.Intent // calls that may still be released
	cursor audit.Cursor
}

func (r *recount) read(ctx context.Context) error {
	if len(r.into.counters) == 0 {
		return nil
	}
	for rec, err := range r.b.cfg.Log.Read(ctx, r.cursor) {
		if err != nil {
			return fmt.Errorf("count calls: %w", err)
		}
		r.cursor = rec.Next
		if _, topic, _ := audit.SplitLog(rec.Position.Log); topic != audit.TopicCalls {
			continue
		}
		r.into.next(rec.Position)
		if err := r.fold(ctx, rec); err != nil {
			r.b.strange(ctx, rec, fmt.Errorf("count call: %w", err))
		}
	}
	return ctx.Err()
}

func (r *recount) fold(ctx context.Context, rec audit.Record) error {
	head, err := audit.Peek(rec.Stored)
	if err != nil {
		return err
	}
	_, held := r.held[head.Subject]
	if head.Type != audit.CallIntent && !held {
		return nil
	}
	e, err := rec.Event()
	if err != nil {
		return err
	}
	switch {
	case head.Type == audit.CallIntent:
		in, err := audit.DataOf[audit.Intent](e)
		if err != nil {
			return err
		}
		if in.Decision.Effect == audit.Hold {
			r.held[e.Subject] = in
			return nil
		}
		return r.into.add(in, r.b.adds(ctx, in.Decision, rec.Position), e.Time)
	case head.Type == audit.CallReleased:
		in := r.held[head.Subject]
		delete(r.held, head.Subject) // the first release counts
		release, err := audit.DataOf[audit.Release](e)
		if err != nil {
			return err
		}
		return r.into.add(in, r.b.adds(ctx, release.Decision, rec.Position), e.Time)
	case head.Type.Closes():
		delete(r.held, head.Subject)
	}
	return nil
}
