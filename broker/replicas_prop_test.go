package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// world is a model of replicas that share a log which keeps the contract of
// [audit.Fencer], and nothing more: sends that wait while their sender is cut off, acks
// that come late or never, processes that are killed at any point or sleep for as long
// as they like, fences that are taken, lost and given back. It has one call.
type world struct {
	held     bool
	log      []audit.Event
	replicas []*process
	fences   map[string]*place // by the name that is fenced
	ran      []string          // who ran the tool, each time
	clock    time.Time
}

// process is a replica: what it has read, what it has sent and has not seen stored, and
// what it waits for.
type process struct {
	name     string
	session  int
	minimum  int // sessions before this one are fenced
	up       bool
	linked   bool // connected to the log: while it is, nobody can fence it
	sleeping bool
	fenced   bool // it has learnt that its place is taken
	read     int
	call     calls.Call
	outbox   []sending
	acked    map[string]bool // ids of its events that were acknowledged
	did      map[string]bool // what it has done once in this session
	told     audit.Type      // what its client was told, once it was
}

type sending struct {
	event   audit.Event
	session int
	through *place
}

// place is a fence.
type place struct {
	of, by *process
	bySess int
	caught bool // has read what the log held when the fence was taken
	until  int
}

const (
	didOpen, didRun, didResult, didRelease = "open", "run", "result", "release"
)

func (w *world) source(p *process) string { return "deed://acme/" + p.name }

func (w *world) event(p *process, typ audit.Type, data any) audit.Event {
	return someCallEvent(typ, w.source(p), fmt.Sprintf("%s-%d-%d-%d", p.name, p.session, len(w.log), len(p.outbox)), w.clock, data)
}

func (w *world) send(p *process, through *place, typ audit.Type, data any) string {
	e := w.event(p, typ, data)
	p.outbox = append(p.outbox, sending{event: e, session: p.session, through: through})
	return e.ID
}

// store is the log's: it takes the next of what a replica has sent, or refuses it.
func (w *world) store(p *process) {
	s := p.outbox[0]
	p.outbox = p.outbox[1:]
	switch {
	case s.through == nil && (s.session < p.minimum || w.fences[p.name] != nil),
		s.through != nil && (w.fences[s.through.of.name] != s.through || s.session < p.minimum):
		p.fenced = p.fenced || s.session == p.session // ErrFenced
		return
	}
	w.log = append(w.log, s.event)
	p.acked[s.event.ID] = true
}

func (w *world) pick(t *rapid.T, is func(*process) bool) *process {
	var fit []*process
	for _, p := range w.replicas {
		if is(p) {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		return nil
	}
	return fit[rapid.IntRange(0, len(fit)-1).Draw(t, "replica")]
}

func (p *process) awake() bool { return p.up && !p.sleeping && !p.fenced }

// weights make the usual usual, so that calls get somewhere before things go wrong.
var weights = map[string]int{"act": 12, "store": 8, "read": 6, "fence": 3}

func (w *world) actions() map[string]func(*rapid.T) {
	on := func(is func(*process) bool, do func(*rapid.T, *process)) func(*rapid.T) {
		return func(t *rapid.T) {
			if p := w.pick(t, is); p != nil {
				do(t, p)
			}
		}
	}
	return map[string]func(*rapid.T){
		"act":   on((*process).awake, w.act),
		"store": on(func(p *process) bool { return p.up && p.linked && len(p.outbox) > 0 }, func(_ *rapid.T, p *process) { w.store(p) }),
		"read":  on((*process).awake, func(t *rapid.T, p *process) { w.catchUp(p, rapid.IntRange(1, 4).Draw(t, "records")) }),
		"unlink": on(func(p *process) bool { return p.linked }, func(_ *rapid.T, p *process) {
			p.linked = false
		}),
		"link":   on(func(p *process) bool { return p.up && !p.linked }, func(_ *rapid.T, p *process) { p.linked = true }),
		"sleep":  on((*process).awake, func(_ *rapid.T, p *process) { p.sleeping = true }),
		"wake":   on(func(p *process) bool { return p.sleeping }, func(_ *rapid.T, p *process) { p.sleeping = false }),
		"kill":   on(func(p *process) bool { return p.up }, func(_ *rapid.T, p *process) { p.up, p.linked = false, false }),
		"start":  on(func(p *process) bool { return !p.linked || p.fenced }, func(_ *rapid.T, p *process) { w.start(p) }),
		"fence":  on((*process).awake, w.fence),
		"expire": func(*rapid.T) { w.clock = w.clock.Add(time.Second) },
	}
}

// start opens the log under the replica's name again, which fences what was before, and
// closes what that left.
func (w *world) start(p *process) {
	if f := w.fences[p.name]; f != nil {
		if w.holds(f) {
			return // ErrLocked
		}
		delete(w.fences, p.name)
	}
	told, acked, left := p.told, p.acked, p.outbox // what an older session sent may still arrive
	*p = process{name: p.name, session: p.session + 1, minimum: p.session + 1, up: true, linked: true, told: told, acked: acked, outbox: left, did: map[string]bool{}}
	w.catchUp(p, len(w.log))
	if w.owner() == w.source(p) {
		w.send(p, nil, audit.CallUnknown, audit.Outcome{Code: audit.CodeCrash})
	}
}

// holds reports whether who took a fence still has it.
func (w *world) holds(f *place) bool { return f.by.up && f.by.linked && f.by.session == f.bySess }

// owner is who runs the call, as the whole log has it.
func (w *world) owner() string {
	c := w.fold()
	switch c.State {
	case calls.Running:
		return c.Opening.Source
	case calls.Released:
		return c.Releasing.Source
	case calls.None, calls.Held, calls.Closed:
	}
	return ""
}

func (w *world) fold() calls.Call {
	var c calls.Call
	for i, e := range w.log {
		_, _ = c.Apply(e, audit.Position{Log: "desk/calls", Index: int64(i)})
	}
	return c
}

func (w *world) fence(t *rapid.T, p *process) {
	dead := w.pick(t, func(o *process) bool { return o != p && !o.linked })
	if dead == nil || !p.linked {
		return // ErrAlive
	}
	if f := w.fences[dead.name]; f != nil && w.holds(f) {
		return // ErrAlive
	}
	dead.minimum = dead.session + 1
	w.fences[dead.name] = &place{of: dead, by: p, bySess: p.session, until: len(w.log)}
}

func (w *world) catchUp(p *process, n int) {
	for ; n > 0 && p.read < len(w.log); n-- {
		_, _ = p.call.Apply(w.log[p.read], audit.Position{Log: "desk/calls", Index: int64(p.read)})
		p.read++
	}
}

// act lets a replica take one of the steps that are open to it.
func (w *world) act(t *rapid.T, p *process) {
	steps := w.steps(p)
	if len(steps) > 0 {
		steps[rapid.IntRange(0, len(steps)-1).Draw(t, "step")]()
	}
}

func (w *world) steps(p *process) []func() {
	var steps []func()
	once := func(what string, do func()) {
		if !p.did[what] {
			steps = append(steps, func() { p.did[what] = true; do() })
		}
	}
	if p.name == "a" && p.session == 0 { // who takes the call
		once(didOpen, func() { w.send(p, nil, audit.CallIntent, someIntent(w.held, w.clock)) })
		if !w.held && w.ackedOf(p, audit.CallIntent) {
			once(didRun, func() { w.run(p) })
		}
	}
	c := &p.call
	if c.State == calls.Held && len(c.Votes) == 0 {
		steps = append(steps, func() { w.send(p, nil, audit.CallApproval, someVote(c.Intent, w.clock)) })
	}
	if c.State == calls.Held && len(c.Votes) > 0 {
		once(didRelease, func() { w.send(p, nil, audit.CallReleased, someRelease(*c)) })
	}
	if c.State == calls.Released && c.Releasing.Source == w.source(p) && p.did[didRelease] {
		once(didRun, func() { w.run(p) })
	}
	if p.did[didRun] {
		once(didResult, func() { w.send(p, nil, audit.CallResult, audit.Outcome{Code: audit.CodeOK}) })
	}
	if p.told == "" && p.did[didResult] && w.ackedOf(p, audit.CallResult) {
		steps = append(steps, func() { p.told = audit.CallResult })
	}
	for _, f := range w.fences {
		if f.by == p && f.bySess == p.session {
			steps = append(steps, w.burial(f)...)
		}
	}
	return steps
}

func (w *world) run(p *process) { w.ran = append(w.ran, p.name) }

func (w *world) ackedOf(p *process, typ audit.Type) bool {
	return slices.ContainsFunc(w.log, func(e audit.Event) bool { return p.acked[e.ID] && e.Type == typ && e.Source == w.source(p) })
}

// burial is what the holder of a fence does: it reads to where the log ended, closes
// what the dead one was running, and lets go.
func (w *world) burial(f *place) []func() {
	p := f.by
	if !f.caught {
		return []func(){func() {
			w.catchUp(p, max(0, f.until-p.read))
			f.caught = true
		}}
	}
	c := &p.call
	runner := ""
	switch c.State {
	case calls.Running:
		runner = c.Opening.Source
	case calls.Released:
		runner = c.Releasing.Source
	case calls.None, calls.Held, calls.Closed:
	}
	waiting := slices.ContainsFunc(p.outbox, func(s sending) bool { return s.through == f })
	if runner == w.source(f.of) && !waiting && !p.did["bury "+f.of.name] {
		return []func(){func() {
			p.did["bury "+f.of.name] = true
			w.send(p, f, audit.CallUnknown, audit.Outcome{Code: audit.CodeCrash})
		}}
	}
	if waiting {
		return nil
	}
	return []func(){func() { // and let go
		delete(p.did, "bury "+f.of.name)
		delete(w.fences, f.of.name)
	}}
}

func (w *world) check(t *rapid.T) {
	var c calls.Call
	unknowns := 0
	for i, e := range w.log {
		counted, err := c.Apply(e, audit.Position{Log: "desk/calls", Index: int64(i)})
		if err != nil {
			t.Fatalf("record %d, a %s of %s, is a violation: %v", i, e.Type, e.Source, err)
		}
		if e.Type == audit.CallUnknown {
			if unknowns++; unknowns > 1 {
				t.Fatal("the call was closed as unknown twice")
			}
		}
		if !counted && e.Type.Closes() {
			t.Fatalf("record %d, a %s of %s, stands after the end", i, e.Type, e.Source)
		}
	}
	if len(w.ran) > 1 {
		t.Fatalf("the tool ran at %v", w.ran)
	}
	if len(w.ran) == 1 && c.State == calls.None {
		t.Fatal("the tool ran without an intent")
	}
	if len(w.ran) == 1 && w.held && c.Releasing.ID == "" {
		t.Fatal("the tool ran without a release")
	}
	for _, p := range w.replicas {
		if p.told == audit.CallResult && (c.State != calls.Closed || c.Closing.Type != audit.CallResult) {
			t.Fatalf("%s told its client of a result, the log says %s %s", p.name, c.State, c.Closing.Type)
		}
	}
}

// settle lets the dead rest, the living wake up, and one that survives bury the others.
func (w *world) settle(t *rapid.T) {
	last := w.replicas[len(w.replicas)-1]
	if !last.up || last.fenced || last.minimum > last.session {
		last.up, last.linked = false, false
		for name, f := range w.fences {
			if name == last.name {
				f.by.up, f.by.linked = false, false // or it would never get in
			}
		}
		w.start(last)
	}
	last.sleeping, last.linked = false, true
	for _, p := range w.replicas[:len(w.replicas)-1] {
		p.up, p.linked = false, false
	}
	for range 50 {
		for last.linked && len(last.outbox) > 0 {
			w.store(last)
		}
		w.catchUp(last, len(w.log))
		for _, p := range w.replicas[:len(w.replicas)-1] {
			if w.owner() == w.source(p) && w.fences[p.name] == nil || w.fences[p.name] != nil && !w.holds(w.fences[p.name]) {
				p.minimum = p.session + 1
				w.fences[p.name] = &place{of: p, by: last, bySess: last.session, until: len(w.log)}
				delete(last.did, "bury "+p.name)
			}
		}
		for _, step := range w.steps(last) {
			step()
		}
	}
	w.check(t)
	if c := w.fold(); c.State == calls.Running || c.State == calls.Released {
		t.Fatalf("the call is %s at the end", c.State)
	}
}

// However replicas are killed, cut off and put to sleep, and whatever is delayed: the
// tool runs once at most, the call is closed once, as unknown by one replica at most,
// what a client was told is what the log says, and the log is sound at every moment.
func TestReplicasThatDieAtAnyPointLeaveOneTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{held: rapid.Bool().Draw(t, "held"), fences: map[string]*place{}, clock: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)}
		for _, name := range []string{"a", "b", "c"} {
			w.replicas = append(w.replicas, &process{name: name, up: true, linked: true, acked: map[string]bool{}, did: map[string]bool{}})
		}
		actions := w.actions()
		var names []string
		for _, name := range slices.Sorted(maps.Keys(actions)) {
			names = append(names, slices.Repeat([]string{name}, max(1, weights[name]))...)
		}
		for range rapid.IntRange(5, 80).Draw(t, "length") {
			actions[rapid.SampledFrom(names).Draw(t, "action")](t)
			w.check(t)
		}
		w.settle(t)
	})
}
