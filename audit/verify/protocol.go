package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// recentCalls is how many closed calls are kept for what may still follow them.
const recentCalls = 4096

// protocol folds the calls of all logs. Open ones are in memory, and those that
// closed lately; what concerns an earlier one is settled by a second reading.
type protocol struct {
	v        *verifier
	seed     maphash.Seed
	open     map[string]*calls.Call
	recent   [recentCalls]string // a ring of closed calls, still in open
	closed   int
	ids      []uint64             // fingerprints of event ids
	openings []uint64             // fingerprints of calls that were opened
	suspects map[string]bool      // calls for the second reading
	findings map[string][]Finding // of calls, until it is known whether they are suspects
}

func newProtocol(v *verifier) protocol {
	return protocol{
		v: v, seed: maphash.MakeSeed(), open: map[string]*calls.Call{},
		suspects: map[string]bool{}, findings: map[string][]Finding{},
	}
}

func (p *protocol) fingerprint(s string) uint64 { return maphash.String(p.seed, s) }

func (p *protocol) seen(id string) { p.ids = append(p.ids, p.fingerprint(id)) }

// apply folds the event of a call.
func (p *protocol) apply(ctx context.Context, r audit.Record, e audit.Event) {
	call, known := p.open[e.Subject]
	if !known {
		if e.Type != audit.CallIntent && e.Type != audit.CallDenied {
			p.suspects[e.Subject] = true // of a call that closed long ago, or that never was
			p.payloads(ctx, r, e, nil)
			return
		}
		call = &calls.Call{}
		p.open[e.Subject] = call
		p.openings = append(p.openings, p.fingerprint(e.Subject))
	}
	before := call.State
	counted, err := call.Apply(e, r.Position)
	if f, broken := finding(err, r); broken {
		p.blame(f)
		if call.State == calls.None { // it opened nothing: what follows finds out anew
			delete(p.open, e.Subject)
			p.suspects[e.Subject] = true
		}
		return
	}
	p.judge(ctx, r, e, call, counted)
	p.v.statement(r, e, call, counted)
	switch {
	case e.Type == audit.CallIntent:
		p.asked(ctx, r, call.Intent, call.ID)
	case counted:
		p.payloads(ctx, r, e, call)
	default:
		p.payloads(ctx, r, e, nil)
	}
	if before != calls.Closed && call.State == calls.Closed {
		p.retire(e.Subject)
	}
}

func finding(err error, r audit.Record) (Finding, bool) {
	violation, ok := errors.AsType[*calls.Violation](err)
	if !ok {
		return Finding{}, false
	}
	return Finding{Rule: Rule(violation.Rule), Where: r.Position, Found: violation.Detail, CallID: violation.CallID}, true
}

// retire keeps a closed call for a while, and drops the one that closed longest ago.
func (p *protocol) retire(id string) {
	slot := p.closed % recentCalls
	if old := p.recent[slot]; old != "" {
		delete(p.open, old)
	}
	p.recent[slot] = id
	p.closed++
}

// payloads checks those of an event. Of the call that was just folded its outcome is
// known if the event closed it.
func (p *protocol) payloads(ctx context.Context, r audit.Record, e audit.Event, closed *calls.Call) {
	if e.Type == audit.CallEdited {
		if edit, err := audit.DataOf[audit.Edit](e); err == nil { // else whoever folds it says so
			p.v.payload(ctx, r.Position, audit.PayloadArguments, edit.Arguments, e.Subject)
		}
		return
	}
	if !e.Type.Closes() {
		return
	}
	var out audit.Outcome
	if closed != nil {
		out = closed.Outcome
	} else {
		var err error
		if out, err = audit.DataOf[audit.Outcome](e); err != nil {
			return // whoever folds it says so
		}
	}
	if out.Request != nil {
		p.asked(ctx, r, *out.Request, e.Subject)
	}
	if out.Output != nil {
		p.v.payload(ctx, r.Position, audit.PayloadOutput, *out.Output, e.Subject)
	}
}

// asked checks what a call was asked for with.
func (p *protocol) asked(ctx context.Context, r audit.Record, in audit.Intent, call string) {
	p.v.payload(ctx, r.Position, audit.PayloadArguments, in.Arguments, call)
	if in.Justification != nil {
		p.v.payload(ctx, r.Position, audit.PayloadJustification, *in.Justification, call)
	}
}

// finish reads again what could not be decided at first sight, and counts.
func (p *protocol) finish(ctx context.Context) error {
	doubled := repeated(p.ids)
	reopened := repeated(p.openings)
	if len(doubled)+len(reopened)+len(p.suspects) > 0 {
		if err := p.again(ctx, doubled, reopened); err != nil {
			return err
		}
	}
	p.v.report.Calls = int64(len(p.openings) - len(reopened))
	for _, id := range sortedKeys(p.findings) {
		for _, f := range p.findings[id] {
			p.v.find(f)
		}
	}
	for _, id := range sortedKeys(p.open) {
		call := p.open[id]
		if !call.Open() {
			continue
		}
		p.v.report.OpenCalls++
		if p.v.options.Closed {
			p.v.find(Finding{Rule: Rule(calls.Unclosed), Where: call.Opening.At, Expected: "an event that closes the call", Found: "none: it is " + call.State.String(), CallID: id})
		}
	}
	if p.v.report.OpenCalls > 0 && !p.v.options.Closed {
		p.v.note(fmt.Sprintf("%d calls are open; a broker may be running them", p.v.report.OpenCalls))
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// repeated returns the fingerprints that occur more than once. It sorts them.
func repeated(prints []uint64) map[uint64]bool {
	slices.Sort(prints)
	out := map[uint64]bool{}
	for i := 1; i < len(prints); i++ {
		if prints[i] == prints[i-1] {
			out[prints[i]] = true
		}
	}
	return out
}

// again is the second reading: event ids with the same fingerprint are compared,
// and calls that are suspects are folded from their beginning.
func (p *protocol) again(ctx context.Context, doubled, reopened map[uint64]bool) error {
	first := map[string]audit.Position{}
	fresh, cut := map[string]*calls.Call{}, map[string]bool{}
	visit := func(r audit.Record) {
		e, err := decode(r.Stored)
		if err != nil || !e.BelongsIn(r.Position.Log) {
			return
		}
		if doubled[p.fingerprint(e.ID)] {
			if at, twice := first[e.ID]; twice {
				p.v.find(Finding{Rule: DuplicateID, Where: r.Position, Expected: "an id of its own", Found: "that of " + at.String() + ", " + e.ID, CallID: e.Subject})
			} else {
				first[e.ID] = r.Position
			}
		}
		suspect := p.suspects[e.Subject] || reopened[p.fingerprint(e.Subject)]
		if e.Topic != audit.TopicCalls || !suspect {
			return
		}
		call := fresh[e.Subject]
		if call == nil && e.Type != audit.CallIntent && e.Type != audit.CallDenied && p.v.log(r.Position.Log).beganBefore(e.Subject) {
			cut[e.Subject] = true
			delete(p.findings, e.Subject)
			return
		}
		if call == nil {
			call = &calls.Call{}
			fresh[e.Subject] = call
			delete(p.findings, e.Subject)
		}
		counted, err := call.Apply(e, r.Position)
		if f, broken := finding(err, r); broken {
			p.blame(f)
			return
		}
		p.judge(ctx, r, e, call, counted)
	}
	err := p.v.everything(ctx, visit)
	maps.Copy(p.open, fresh)
	if len(cut) > 0 {
		p.v.note(fmt.Sprintf("%d calls began before the records that are left: what is left of them was not checked", len(cut)))
	}
	return err
}

// everything reads the whole history once more.
func (v *verifier) everything(ctx context.Context, visit func(audit.Record)) error {
	next := map[string]int64{}
	for r, err := range v.source.Read(ctx, "") {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			break // it was reported; what is behind it is read below
		}
		if r.Position.Index < v.sizes[r.Position.Log] {
			next[r.Position.Log] = r.Position.Index + 1
			visit(r)
		}
	}
	for _, log := range sortedKeys(v.sizes) {
		for i := next[log]; i < v.sizes[log]; i++ {
			if r, err := v.source.Record(ctx, audit.Position{Log: log, Index: i}); err == nil {
				visit(r)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}
