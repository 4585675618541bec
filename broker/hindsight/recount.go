package hindsight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/broker/policy"
)

const (
	maxMiscounts = 100
	// lateAdds is how many of the latest calls that counted are known one by one: a broker
	// that was further behind than that when it decided cannot be judged.
	lateAdds = 8192
)

// Counts is what comes of counting again what decisions say that the counters of their
// policies came to.
type Counts struct {
	Decisions int64      // that were counted again
	Wrong     []Miscount // the first ones
	Omitted   int64      // of them, that are not in Wrong
	Unjudged  int64      // the text of their policies is not there, or the broker was far behind
	// Behind are decisions that permitted a call before others were read back which other replicas
	// had permitted: they were on their way. By is the most that one of them lacked.
	Behind, By int64
}

// Miscount is a decision that knew of less than stands in the log up to the records that
// it names.
type Miscount struct {
	At             audit.Position
	CallID         string
	Counter        string
	Said, Recorded int64
}

// Recount counts again what the counters of policies came to at each decision, up to the
// records that the decision says it knew of. A decision may know of more, since a replica
// counts what it has permitted before that stands in the log, but never of less. It is nil where no
// policies on record count anything.
func Recount(ctx context.Context, from History) (*Counts, error) {
	x := recounting{
		sets: map[string][]policy.Counter{}, tallies: policy.NewTallies(), held: map[string]audit.Intent{},
		latest: map[string]int64{}, falls: map[string]bool{}, counts: &Counts{},
	}
	if err := x.policies(ctx, from); err != nil {
		return nil, fmt.Errorf("count again: %w", err)
	}
	if len(x.counters) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to count
	}
	for r, err := range from.Read(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("count again: %w", err)
		}
		if _, topic, _ := audit.SplitLog(r.Position.Log); topic != audit.TopicCalls {
			continue
		}
		if err := x.record(r); err != nil {
			return nil, fmt.Errorf("count again: %w", err)
		}
	}
	x.settle()
	return x.counts, ctx.Err()
}

type recounting struct {
	sets     map[string][]policy.Counter // by digest
	counters []policy.Counter            // of all sets, each once
	tallies  *policy.Tallies
	held     map[string]audit.Intent // calls that may still be released
	late     []add                   // the latest that counted, in the order of reading
	dropped  bool                    // there were earlier ones
	latest   map[string]int64        // of each log, the index of the last that counted
	falls    map[string]bool         // counters that have summed something negative: less may be right
	wrong    []Miscount
	counts   *Counts
}

// add is a call that counted.
type add struct {
	at       audit.Position
	source   string
	key      string
	bucket   int64
	n        int64
	released bool
}

// policies reads which counters each set declares.
func (x *recounting) policies(ctx context.Context, from History) error {
	sizes, err := from.Sizes(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for i := range sizes[controlLog] {
		r, err := from.Record(ctx, audit.Position{Log: controlLog, Index: i})
		if errors.Is(err, audit.ErrNotFound) { // removed by retention
			continue
		}
		if err != nil {
			return err
		}
		e, err := r.Event()
		if err != nil || e.Type != audit.PolicyActivated {
			continue
		}
		a, err := audit.DataOf[audit.Activation](e)
		if err != nil {
			continue
		}
		p, err := from.Payload(ctx, r.Position, audit.PayloadPolicy)
		if err != nil || !a.Text.Matches(p) {
			continue // its decisions are not judged
		}
		files, err := filesOf(p.Body, a.Files)
		if err != nil {
			continue
		}
		set, _ := policy.Compile(files, nil, policy.Options{})
		if set == nil {
			continue
		}
		x.sets[a.PolicySet] = set.Counters()
		for _, c := range set.Counters() {
			if !known[c.String()] {
				known[c.String()] = true
				x.counters = append(x.counters, c)
			}
		}
	}
	return nil
}

// record judges a decision, and counts what it permits.
func (x *recounting) record(r audit.Record) error {
	head, err := audit.Peek(r.Stored)
	if err != nil {
		return nil //nolint:nilerr // what is no event is for the verifier to tell
	}
	held, isHeld := x.held[head.Subject]
	if head.Type != audit.CallIntent && head.Type != audit.CallDenied && !isHeld {
		return nil
	}
	e, err := r.Event()
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	switch {
	case e.Type == audit.CallIntent:
		in, err := audit.DataOf[audit.Intent](e)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		x.judge(r.Position, e, in, in.Decision)
		if in.Decision.Effect == audit.Hold {
			x.held[e.Subject] = in
			return nil
		}
		return x.count(r.Position, e, in, in.Decision)
	case e.Type == audit.CallReleased:
		delete(x.held, e.Subject) // the first one counts
		release, err := audit.DataOf[audit.Release](e)
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		x.judge(r.Position, e, held, release.Decision)
		return x.count(r.Position, e, held, release.Decision)
	case e.Type.Closes():
		delete(x.held, e.Subject)
		out, err := audit.DataOf[audit.Outcome](e)
		if err != nil || out.Decision == nil {
			return nil //nolint:nilerr // likewise
		}
		in := held
		if out.Request != nil {
			in = *out.Request
		}
		x.judge(r.Position, e, in, *out.Decision)
	}
	return nil
}

// count adds what a decision that permitted a call says it adds. What was counted by its
// arguments, since a counter was declared later, is left out: less is then asked for.
func (x *recounting) count(at audit.Position, e audit.Event, in audit.Intent, d audit.Decision) error {
	if d.Effect != audit.Allow {
		return nil
	}
	for _, c := range x.counters {
		n, says := int64(1), c.Sum == ""
		if d.Recent != nil && !says {
			for _, counted := range d.Recent.Adds {
				if counted.Sum == c.Sum {
					n, says = counted.N, true
					break
				}
			}
		}
		if !c.Counts(in.Tool) || !says {
			continue
		}
		key := c.Key(in.Tool, in.Identity)
		if err := x.tallies.Add(c, key, e.Time, n); err != nil {
			return err
		}
		x.falls[c.String()] = x.falls[c.String()] || n < 0
		x.latest[at.Log] = at.Index
		if len(x.late) == 2*lateAdds {
			x.late, x.dropped = append(x.late[:0], x.late[lateAdds:]...), true
		}
		x.late = append(x.late, add{at: at, source: e.Source, key: key, bucket: bucketOf(c, e.Time), n: n, released: e.Type == audit.CallReleased})
	}
	return nil
}

// bucketOf is the part of a counter's windows that a moment falls into.
func bucketOf(c policy.Counter, at time.Time) int64 {
	return at.UnixNano() / int64(c.Window/policy.CounterBuckets)
}

// judge compares what a decision says with what stands in the log up to the records that it
// names.
func (x *recounting) judge(at audit.Position, e audit.Event, in audit.Intent, d audit.Decision) {
	if d.Recent == nil || len(d.Recent.Values) == 0 {
		return
	}
	counters, known := x.sets[d.PolicySet]
	if !known {
		x.counts.Unjudged++
		return
	}
	knew := map[string]int64{}
	for _, p := range d.Recent.At {
		knew[p.Log] = p.Index
	}
	x.counts.Decisions++
	for _, said := range d.Recent.Values {
		for _, c := range counters {
			if c.Name != said.Counter {
				continue
			}
			recorded, lacked, far := x.at(c, c.Key(in.Tool, in.Identity), e, knew)
			switch {
			case far:
				x.counts.Unjudged++
			case said.N < recorded:
				x.wrong = append(x.wrong, Miscount{At: at, CallID: e.Subject, Counter: c.String(), Said: said.N, Recorded: recorded})
			}
			if lacked > 0 && d.Effect == audit.Allow {
				x.counts.Behind++
				x.counts.By = max(x.counts.By, lacked)
			}
		}
	}
}

// at is the sum over the window that ends with an event, or a little later, of what stands in
// the log up to the records that were known; and what other replicas had added beyond them. It is far
// if too much came in between to tell.
func (x *recounting) at(c policy.Counter, key string, e audit.Event, knew map[string]int64) (recorded, lacked int64, far bool) {
	end := e.Time.Add(statement.Tolerance) // the window begins later then, and so has less
	recorded = x.tallies.Value(c, key, end)
	oldest := bucketOf(c, end) - policy.CounterBuckets
	left := len(x.latest) // logs of which no call was met that was known
	met := map[string]bool{}
	for i := len(x.late) - 1; i >= 0 && left > 0; i-- {
		a := x.late[i]
		if met[a.at.Log] {
			continue
		}
		// That a call was released is noted a moment before it is counted.
		last, some := knew[a.at.Log]
		if some && (a.at.Index < last || a.at.Index == last && !a.released) {
			met[a.at.Log] = true
			left--
			continue
		}
		if a.key != key || a.bucket < oldest {
			continue
		}
		recorded = policy.Saturated(recorded, -a.n)
		if a.source != e.Source {
			lacked = policy.Saturated(lacked, a.n)
		}
	}
	return recorded, lacked, left > 0 && x.dropped
}

// settle tells of those that knew less than they should, but for counters that can also
// fall: these may be less by what is on its way.
func (x *recounting) settle() {
	for _, m := range x.wrong {
		switch {
		case x.falls[m.Counter]:
			x.counts.Unjudged++
		case len(x.counts.Wrong) == maxMiscounts:
			x.counts.Omitted++
		default:
			x.counts.Wrong = append(x.counts.Wrong, m)
		}
	}
}
