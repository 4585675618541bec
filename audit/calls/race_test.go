package calls_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// race is one call in a shared log, and honest replicas that each have read it
// up to some point: they decide on what they have read, and what they then
// write lands behind whatever others wrote meanwhile.
type race struct {
	t        *rapid.T
	log      []audit.Event
	replicas []*replica
	now      time.Time
	held     bool
	executed bool // the tool really ran
}

type replica struct {
	name    string
	call    calls.Call // folded from log[:read]
	read    int
	started bool // ran, or decided not to run, the call that is its own to run
	drafts  []audit.Event

	releasing bool // has written, or is about to write, a release
}

func (r *race) Check(t *rapid.T) {
	var call calls.Call
	closings := 0
	for i, e := range r.log {
		counted, err := call.Apply(e, audit.Position{Log: "payments/calls", Index: int64(i)})
		if err != nil {
			t.Fatalf("an honest event is called a violation: %v", err)
		}
		if counted && e.Type.Closes() {
			closings++
		}
	}
	if (closings == 1) != (call.State == calls.Closed) || closings > 1 {
		t.Fatalf("%d closing events counted, call is %s", closings, call.State)
	}
	if r.executed && call.State == calls.Closed {
		ran := []audit.Type{audit.CallResult, audit.CallFailed, audit.CallUnknown}
		if !slices.Contains(ran, call.Closing.Type) {
			t.Fatalf("the tool ran, and the call is closed as %s", call.Closing.Type)
		}
	}
}

// read lets a replica catch up with up to n more events.
func (r *race) read(p *replica, n int) {
	for ; n > 0 && p.read < len(r.log); n-- {
		if _, err := p.call.Apply(r.log[p.read], audit.Position{Log: "payments/calls", Index: int64(p.read)}); err != nil {
			r.t.Fatalf("%s cannot read an honest log: %v", p.name, err)
		}
		p.read++
	}
}

func (r *race) draft(p *replica, typ audit.Type, data any) {
	p.drafts = append(p.drafts, event(typ, p.name, r.now, fmt.Sprintf("%s-%d-%d", p.name, len(r.log), len(p.drafts)), data))
}

func (r *race) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": r.Check,
		"time passes": func(t *rapid.T) {
			r.now = r.now.Add(time.Duration(rapid.IntRange(1, 900).Draw(t, "seconds")) * time.Second)
		},
		"restart": func(t *rapid.T) { // what was not acknowledged is forgotten
			p := r.replicas[rapid.IntRange(0, len(r.replicas)-1).Draw(t, "replica")]
			p.drafts, p.started, p.call, p.read = nil, true, calls.Call{}, 0
			r.read(p, len(r.log))
		},
		"append": func(t *rapid.T) {
			p := r.replicas[rapid.IntRange(0, len(r.replicas)-1).Draw(t, "replica")]
			if len(p.drafts) > 0 {
				r.log, p.drafts = append(r.log, p.drafts[0]), p.drafts[1:]
			}
		},
		"act": func(t *rapid.T) {
			p := r.replicas[rapid.IntRange(0, len(r.replicas)-1).Draw(t, "replica")]
			r.read(p, rapid.SampledFrom([]int{0, 1, len(r.log)}).Draw(t, "events"))
			moves := r.moves(p)
			if len(moves) == 0 {
				return
			}
			moves[rapid.IntRange(0, len(moves)-1).Draw(t, "move")](t, p)
		},
	}
}

type move func(*rapid.T, *replica)

// moves are what an honest replica may do, as far as it has read.
func (r *race) moves(p *replica) []move {
	switch p.call.State {
	case calls.Held:
		moves := []move{r.vote, r.vote, r.amend}
		if !p.releasing { // a replica does not race itself
			moves = append(moves, r.giveUp)
		}
		if slices.ContainsFunc(p.call.Votes, func(v calls.Vote) bool { return !p.call.EditedBy(v.By) }) && !r.now.After(p.call.Deadline()) {
			moves = append(moves, r.release, r.release)
		}
		if !r.now.Before(p.call.Deadline()) {
			moves = append(moves, r.expire)
		}
		return moves
	case calls.Running, calls.Released:
		if p.owns() && !p.started {
			return []move{r.run, r.run, r.stop}
		}
		return []move{r.leftBehind}
	case calls.Closed:
		if p.call.Closing.Type == audit.CallUnknown {
			return []move{r.reconcile}
		}
	case calls.None:
	}
	return nil
}

func (r *race) vote(t *rapid.T, p *replica) {
	who := rapid.SampledFrom([]string{"bob", "carol", "dora"}).Draw(t, "person")
	typ := rapid.SampledFrom([]audit.Type{audit.CallApproval, audit.CallApproval, audit.CallVoteRefused}).Draw(t, "vote")
	vote := approval(p.call.Intent, person(who, r.now))
	vote.Digest = p.call.Digest()
	r.draft(p, typ, vote)
}

// amend changes the arguments to some that the call never had.
func (r *race) amend(t *rapid.T, p *replica) {
	from := audit.Intent{Digest: p.call.Digest()}
	to := amended(fmt.Sprintf("%s-%d-%d", p.name, len(r.log), len(p.drafts)))
	r.draft(p, audit.CallEdited, amend(from, to, person(rapid.SampledFrom([]string{"bob", "carol"}).Draw(t, "editor"), r.now)))
}

func (r *race) giveUp(t *rapid.T, p *replica) {
	if rapid.Bool().Draw(t, "denied") {
		r.draft(p, audit.CallDenied, outcomeBy(person("bob", r.now)))
		return
	}
	code := rapid.SampledFrom([]string{audit.CodeClient, audit.CodeChanged, audit.CodeErased}).Draw(t, "code")
	r.draft(p, audit.CallCancelled, audit.Outcome{Code: code})
}

func (r *race) expire(_ *rapid.T, p *replica) {
	r.draft(p, audit.CallExpired, audit.Outcome{Code: audit.CodeExpired})
}

func (r *race) release(_ *rapid.T, p *replica) {
	p.started, p.releasing = false, true
	r.draft(p, audit.CallReleased, release(&p.call))
}

func (r *race) run(t *rapid.T, p *replica) {
	p.started, r.executed = true, true
	typ := rapid.SampledFrom([]audit.Type{audit.CallResult, audit.CallFailed, audit.CallUnknown}).Draw(t, "outcome")
	r.draft(p, typ, audit.Outcome{Code: audit.CodeOK})
}

func (r *race) stop(_ *rapid.T, p *replica) {
	p.started = true
	r.draft(p, audit.CallCancelled, audit.Outcome{Code: audit.CodeShutdown})
}

func (r *race) leftBehind(_ *rapid.T, p *replica) {
	r.draft(p, audit.CallUnknown, audit.Outcome{Code: audit.CodeCrash})
}

func (r *race) reconcile(_ *rapid.T, p *replica) {
	r.draft(p, audit.CallReconciled, audit.Reconciliation{Happened: true, By: person("bob", r.now)})
}

func (p *replica) owns() bool {
	switch p.call.State {
	case calls.Running:
		return p.call.Opening.Source == p.name
	case calls.Released:
		return p.call.Releasing.Source == p.name
	case calls.None, calls.Held, calls.Closed:
	}
	return false
}

func TestRacingReplicasNeverBreakTheProtocolAndCloseTheCallOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := &race{t: t, now: start, held: rapid.Bool().Draw(t, "held")}
		for _, name := range []string{"deed://acme/a", "deed://acme/b", "deed://acme/c"} {
			r.replicas = append(r.replicas, &replica{name: name})
		}
		in := allowed()
		if r.held {
			in = held()
		}
		r.log = append(r.log, event(audit.CallIntent, r.replicas[0].name, r.now, "opening", in))
		t.Repeat(r.actions())
		r.settle(t)
	})
}

// settle lets every replica read and write all that it has left; the last one
// standing closes what is still open.
func (r *race) settle(t *rapid.T) {
	for _, p := range r.replicas {
		r.log = append(r.log, p.drafts...)
		p.drafts = nil
	}
	last := r.replicas[len(r.replicas)-1]
	r.read(last, len(r.log))
	if last.call.State == calls.Held {
		r.now = last.call.Deadline().Add(time.Second)
		r.log = append(r.log, event(audit.CallExpired, last.name, r.now, "last", audit.Outcome{Code: audit.CodeExpired}))
	} else if last.call.Open() {
		r.log = append(r.log, event(audit.CallUnknown, last.name, r.now, "last", audit.Outcome{Code: audit.CodeCrash}))
	}
	r.read(last, len(r.log))
	if last.call.State != calls.Closed {
		t.Fatalf("the call is %s at the end", last.call.State)
	}
	r.Check(t)
}

// Whatever bytes stand in a log, folding them neither panics nor changes a call
// by an event that it calls a violation.
func FuzzApply(f *testing.F) {
	for _, typ := range []audit.Type{audit.CallIntent, audit.CallApproval, audit.CallEdited, audit.CallReleased, audit.CallResult, audit.CallDenied, audit.CallReconciled} {
		f.Add(string(typ), `{"digest":"x","by":{"principal":"bob"},"decision":{"effect":"allow"},"approvals":["a"]}`, uint8(0))
		f.Add(string(typ), `null`, uint8(2))
	}
	f.Fuzz(func(t *testing.T, typ, data string, stage uint8) {
		call := callAt(t, stage%5)
		before := snapshot(call)
		e := event(audit.Type(typ), "deed://acme/z", start, "foreign", nil)
		e.Data = json.RawMessage(data)
		counted, err := call.Apply(e, audit.Position{Log: "payments/calls", Index: 9})
		if err == nil {
			return
		}
		if _, ok := errors.AsType[*calls.Violation](err); !ok {
			t.Fatalf("got error %v, want a violation", err)
		}
		if counted {
			t.Fatal("a violation counted")
		}
		if after := snapshot(call); stage%5 != 0 && after != before {
			t.Fatalf("a violation changed the call: %s, was %s", after, before)
		}
	})
}
