package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// Where retention has removed the oldest records of a log, the rest is proved by the
// first checkpoint that is not older: it tells, under its signature, what the tree of
// all records before it comes to. Those between are there, and not proved by
// themselves.

// trimmed finds where a log begins.
func (v *verifier) trimmed(ctx context.Context, l *logState) error {
	source, ok := v.source.(Trimmed)
	if !ok {
		return nil
	}
	first, err := source.First(ctx, l.name)
	if err != nil {
		return err
	}
	l.first, l.next, l.waiting = first, first, first > 0
	return nil
}

// frontier checks what a checkpoint says that its tree grows on from, and keeps the
// first that is of use.
func (v *verifier) frontier(at audit.Position, c seal.Checkpoint, text []string) {
	if len(text) == 0 {
		return
	}
	f, err := seal.OpenFrontier(c, text)
	if err != nil {
		v.find(Finding{Rule: BadCheckpoint, Where: at, Expected: "the frontier of " + c.Log + " at its size", Found: err.Error()})
		return
	}
	l := v.log(c.Log)
	if l.waiting && c.Size >= l.first && (l.start == nil || c.Size < l.start.Size()) {
		l.start = f
	}
}

// resume lets the tree grow on, once the records have come to where it can.
func (l *logState) resume() {
	if l.waiting && l.start != nil && l.next == l.start.Size() {
		l.tree, l.good, l.waiting = *l.start, *l.start, false
	}
}

// noteTrimmed says what of a log was not proved.
func (v *verifier) noteTrimmed(l *logState) {
	l.resume() // at its very end
	switch {
	case l.first == 0, l.report.From > 0, l.report.Removed > 0: // whole, or a part that says what is before it
	case l.start == nil:
		v.note(fmt.Sprintf("%s: retention has removed the records before %d, and no checkpoint tells what the rest grows on from: no record of it is proved", l.name, l.first))
	case l.start.Size() > l.first:
		v.note(fmt.Sprintf("%s: retention has removed the records before %d; those up to %d stand before the first checkpoint that is left, and are not proved", l.name, l.first, l.start.Size()-1))
	default:
		v.note(fmt.Sprintf("%s: retention has removed the records before %d; all others are proved as far as they are sealed", l.name, l.first))
	}
}

// mayBeEmptied reports whether retention can have removed all records of a log.
func (v *verifier) mayBeEmptied(l *logState) bool {
	_, ok := v.source.(Trimmed)
	return ok && l.size == 0
}

// checkEmptied judges a log that has no record left of those that were sealed. Nothing in
// it tells who removed them: it is retention's work only if it was due.
func (v *verifier) checkEmptied(l *logState) {
	if l.report.Sealed == 0 || !v.mayBeEmptied(l) {
		return
	}
	sealed := fmt.Sprintf("%d records, sealed until %s", l.report.Sealed, l.report.LastCheckpoint.UTC().Format(time.RFC3339))
	switch age := time.Since(l.report.LastCheckpoint); {
	case v.options.Retention == 0:
		v.find(Finding{Rule: Truncated, Where: audit.Position{Log: l.name}, Expected: sealed, Found: "none, and it was not said how long they are kept"})
	case age <= v.options.Retention:
		v.find(Finding{Rule: Truncated, Where: audit.Position{Log: l.name}, Expected: sealed + ", and kept for " + v.options.Retention.String(), Found: "none"})
	default:
		v.note(fmt.Sprintf("%s: retention has removed all of its %s: none of them is proved", l.name, sealed))
	}
}

// beganBefore reports whether a call can have begun before the records that retention
// has left, by the time in its id.
func (l *logState) beganBefore(callID string) bool {
	id, err := uuid.Parse(callID)
	if err != nil || id.Version() != 7 || l.first == 0 {
		return false
	}
	sec, nsec := id.Time().UnixTime()
	return !time.Unix(sec, nsec).After(l.since)
}
