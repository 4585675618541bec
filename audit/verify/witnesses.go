package verify

import (
	"fmt"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// witnessLate is how long honest records may stand without what witnesses have signed:
// they are asked now and then, and may be away for a while.
const witnessLate = 10 * time.Minute

// witnessed reads the checkpoint that witnesses have signed out of an event, which is of
// the same log as the event's own and of a tree that is no larger.
func (v *verifier) witnessed(at audit.Position, own seal.Checkpoint, note string) {
	if note == "" {
		return
	}
	c, _, err := seal.OpenCheckpoint(note, v.keys.chain...)
	if err == nil && (c.Origin() != own.Origin() || c.Size > own.Size) {
		err = fmt.Errorf("it is of %s at %d", c.Origin(), c.Size)
	}
	if err != nil {
		v.find(Finding{Rule: BadCheckpoint, Where: at, Expected: "a witnessed checkpoint of " + own.Origin() + ", signed by a key of this log", Found: err.Error()})
		return
	}
	v.cosigned(at, c, note)
	if l := v.log(c.Log); !l.absent && c.Size >= l.first {
		l.witnessed = append(l.witnessed, signed{size: c.Size, root: c.Root, at: at.Index})
	}
}

// cosigned counts the witnesses of a checkpoint.
func (v *verifier) cosigned(at audit.Position, c seal.Checkpoint, note string) {
	if len(v.options.Witnesses) == 0 {
		return
	}
	by, err := seal.Cosigned(note, v.options.Witnesses)
	if err != nil {
		v.find(Finding{Rule: BadWitness, Where: at, Expected: "signatures of witnesses that are their own", Found: err.Error()})
		return
	}
	if l := v.log(c.Log); len(by) >= v.quorum() && c.Size > l.report.Witnessed {
		l.report.Witnessed = c.Size
		for _, when := range by {
			if when.After(l.report.LastWitnessed) {
				l.report.LastWitnessed = when
			}
		}
	}
}

// quorum is how many of the witnesses have to have signed.
func (v *verifier) quorum() int {
	if v.options.WitnessQuorum > 0 {
		return v.options.WitnessQuorum
	}
	return len(slices.CompactFunc(slices.Clone(v.options.Witnesses), func(a, b seal.WitnessKey) bool { return a.String() == b.String() }))
}

// unwitnessed looks at a record that no witnessed checkpoint covers.
func (v *verifier) unwitnessed(l *logState, e audit.Event) {
	if l.firstUnwitnessed.IsZero() {
		l.firstUnwitnessed = e.Time
	}
	if e.Time.After(v.newest) {
		v.newest = e.Time
	}
}

// checkWitnesses asks of each log that enough witnesses have signed it.
func (v *verifier) checkWitnesses() {
	if len(v.options.Witnesses) == 0 {
		return
	}
	some := false
	for _, l := range v.logs {
		some = some || l.report.Witnessed > 0
	}
	for _, l := range v.logs {
		left := l.size - max(l.first, l.report.Witnessed)
		if l.absent || left <= 0 || l.name == seal.CheckpointsLog {
			continue
		}
		if some && v.newest.Sub(l.firstUnwitnessed) <= witnessLate {
			v.note(fmt.Sprintf("%s: the last %d of %d records are not yet witnessed", l.name, left, l.size))
			continue
		}
		v.find(Finding{
			Rule: Unwitnessed, Where: audit.Position{Log: l.name, Index: max(l.first, l.report.Witnessed)},
			Expected: fmt.Sprintf("a checkpoint that covers it and that %d of %d witnesses have signed", v.quorum(), len(v.options.Witnesses)),
			Found:    fmt.Sprintf("none, of %d records", left),
		})
	}
}
