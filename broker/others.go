package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// others is what the log tells of the replicas that share it: the calls that they
// may be running, and when they were last heard of. Held calls belong to nobody, and
// those that were released are among the holds.
type others struct {
	mu     sync.Mutex
	open   map[string]*opened   // guarded by mu: permitted at once and not closed, by call id
	heard  map[string]time.Time // guarded by mu: by source
	places map[string]int64     // guarded by mu: the last index followed of each log
	cursor audit.Cursor         // guarded by mu: the last followed
	moved  chan struct{}        // guarded by mu: closed when another record was followed; nil if nobody waits
}

// shared reports whether other replicas write the log too.
func (b *Broker) shared() bool { return b.cfg.Fencer != nil }

// another reports whether a source is another replica of those that share the log. Of a log
// that one replica writes there is none, under whichever names it did so before.
func (b *Broker) another(source string) bool { return b.shared() && source != b.source }

func newOthers() *others {
	return &others{open: map[string]*opened{}, heard: map[string]time.Time{}, places: map[string]int64{}}
}

// begin takes up a call of another replica that was permitted at once.
func (o *others) begin(c *opened) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[c.head.Subject] = c
}

// start takes up what the log held when it was opened.
func (o *others) start(at audit.Cursor, running []*opened) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cursor = at
	for _, c := range running {
		o.open[c.head.Subject] = c
	}
}

// end drops a call that an event ends.
func (o *others) end(head audit.Head) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.open[head.Subject]; c != nil && c.endedBy(head) {
		delete(o.open, head.Subject)
	}
}

// hear notes a sign of life.
func (o *others) hear(source string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard[source] = time.Now()
}

// passed notes that a record was followed, and all that it means done.
func (o *others) passed(rec audit.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.places[rec.Position.Log], o.cursor = rec.Position.Index, rec.Next
	if o.moved != nil {
		close(o.moved)
		o.moved = nil
	}
}

// reached reports whether the follower has come to each of the places; the channel
// closes when it has come further.
func (o *others) reached(places map[string]int64) (bool, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for log, index := range places {
		if at, ok := o.places[log]; !ok || at < index {
			if o.moved == nil {
				o.moved = make(chan struct{})
			}
			return false, o.moved
		}
	}
	return true, nil
}

func (o *others) at() audit.Cursor {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cursor
}

// silent are those of the sources that were not heard of for so long, in order. One
// that is asked about for the first time counts as heard of now.
func (o *others) silent(sources map[string]bool, long time.Duration) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var silent []string
	for s := range sources {
		last, known := o.heard[s]
		if !known {
			o.heard[s] = time.Now()
		} else if time.Since(last) >= long {
			silent = append(silent, s)
		}
	}
	slices.Sort(silent)
	return silent
}

// running adds to the sources those of calls that were permitted at once.
func (o *others) running(sources map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.open {
		sources[c.head.Source] = true
	}
}

// of are copies of the calls that a source was permitted at once and has not closed.
func (o *others) of(source string) []*opened {
	o.mu.Lock()
	defer o.mu.Unlock()
	var of []*opened
	for _, c := range o.open {
		if c.head.Source == source {
			of = append(of, new(*c))
		}
	}
	return of
}

// CaughtUp waits until what the log holds now has been followed.
func (b *Broker) CaughtUp(ctx context.Context) error {
	last := map[string]int64{}
	for rec, err := range b.cfg.Log.Read(ctx, b.others.at()) {
		if err != nil {
			return err
		}
		last[rec.Position.Log] = rec.Position.Index
	}
	for {
		there, moved := b.others.reached(last)
		if there {
			return ctx.Err()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// owners are the other replicas that may be running calls.
func (b *Broker) owners() map[string]bool {
	owners := map[string]bool{}
	b.others.running(owners)
	for _, c := range b.holds.released() {
		owners[c.Releasing.Source] = true
	}
	delete(owners, b.source)
	return owners
}

// leftBy are the calls that a replica may have been running, in the order of their intents.
func (b *Broker) leftBy(source string) []*calls.Call {
	h := newHistory(func(audit.Event) error { return nil }, func(rec audit.Record, err error) { b.strange(b.live, rec, err) })
	for _, o := range b.others.of(source) {
		h.open[o.head.Subject] = o
	}
	left := h.left()
	for _, c := range b.holds.released() {
		if c.Releasing.Source == source {
			left = append(left, &c)
		}
	}
	slices.SortFunc(left, byOpening)
	return left
}
