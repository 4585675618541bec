package verify

import (
	"fmt"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Recorded is a [Source] whose payloads are erased only after that is on record. Where
// they go by themselves, as on Pulsar when their retention is over, nobody says so.
type Recorded interface {
	ErasesOnRecord() bool
}

// erasures are what the control log says of erased payloads and of legal holds, each
// with its index there.
type erasures struct {
	ranges map[string][]erasedRange
	single map[audit.Position][]int64
	holds  []held
}

type erasedRange struct {
	from, to, at int64
	except       map[int64]bool
}

// held is a legal hold, from one index of the control log up to another.
type held struct {
	id            string
	scope         audit.Scope
	placed, ended int64 // ended is -1 while it is in force
}

func newErasures() erasures {
	return erasures{ranges: map[string][]erasedRange{}, single: map[audit.Position][]int64{}}
}

// erasure reads an event of control about erasures or legal holds.
func (v *verifier) erasure(r audit.Record, e audit.Event) {
	at, x := r.Position.Index, &v.erasures
	var err error
	switch e.Type {
	case audit.PayloadsErased:
		var data audit.Erasure
		if data, err = audit.DataOf[audit.Erasure](e); err == nil {
			x.add(at, data)
		}
	case audit.LegalHoldPlaced:
		var data audit.LegalHold
		if data, err = audit.DataOf[audit.LegalHold](e); err == nil {
			x.holds = append(x.holds, held{id: e.ID, scope: data.Scope, placed: at, ended: -1})
		}
	case audit.LegalHoldLifted:
		var data audit.LegalHoldEnd
		if data, err = audit.DataOf[audit.LegalHoldEnd](e); err == nil {
			x.lift(at, data.Hold)
		}
	default:
	}
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
	}
}

func (x *erasures) add(at int64, data audit.Erasure) {
	for _, places := range data.Records {
		for _, i := range places.Indexes {
			p := audit.Position{Log: places.Log, Index: i}
			x.single[p] = append(x.single[p], at)
		}
	}
	if data.Log == "" {
		return
	}
	one := erasedRange{from: data.From, to: data.To, at: at, except: map[int64]bool{}}
	for _, i := range data.Except {
		one.except[i] = true
	}
	x.ranges[data.Log] = append(x.ranges[data.Log], one)
}

func (x *erasures) lift(at int64, id string) {
	for i := range x.holds {
		if h := &x.holds[i]; h.id == id && h.ended < 0 {
			h.ended = at
		}
	}
}

// of are the indexes in control of the events that say a record's payloads are erased.
func (x *erasures) of(p audit.Position) []int64 {
	all := append([]int64(nil), x.single[p]...)
	for _, r := range x.ranges[p.Log] {
		if p.Index >= r.from && p.Index < r.to && !r.except[p.Index] {
			all = append(all, r.at)
		}
	}
	return all
}

// erased checks that a payload which is erased may be: it is on record, and no legal
// hold kept it then.
func (v *verifier) erased(at audit.Position, name, call string) {
	v.report.Erased++
	recorded, ok := v.source.(Recorded)
	if !ok || !recorded.ErasesOnRecord() {
		return
	}
	said := v.erasures.of(at)
	if len(said) == 0 {
		v.find(Finding{Rule: UnrecordedErasure, Where: at, Expected: "an event that says that payload " + name + " is erased", Found: "none", CallID: call})
		return
	}
	c := v.calls.open[call]
	if c == nil {
		return
	}
	for _, h := range v.erasures.holds {
		if h.covers(c) && h.kept(said) {
			v.find(Finding{
				Rule: ErasedUnderHold, Where: at, CallID: call, Expected: "payload " + name + ", which legal hold " + h.id + " keeps",
				Found: fmt.Sprintf("it is erased, as %s@%d says", controlLog, said[0]),
			})
		}
	}
}

func (h held) covers(c *calls.Call) bool {
	return h.scope.Covers(c.ID, c.Domain, c.Intent.Identity, c.Opening.Time)
}

// kept reports whether all these events stand where the hold was in force.
func (h held) kept(said []int64) bool {
	for _, at := range said {
		if at < h.placed || h.ended >= 0 && at > h.ended {
			return false
		}
	}
	return true
}
