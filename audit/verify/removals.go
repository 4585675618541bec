package verify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Archived is a [Source] some records of which come from an archive of what retention
// has removed.
type Archived interface {
	Archived(p audit.Position) bool
}

// removal is what the control log says of removed records.
type removal struct {
	audit.Removal

	at   audit.Position // of the event
	when time.Time
}

// removed reads an event of control that says that records are removed. Each begins
// where the one before ended, or where that was begun and not carried out.
func (v *verifier) removed(r audit.Record, e audit.Event) {
	data, err := audit.DataOf[audit.Removal](e)
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
		return
	}
	l := v.log(data.Log)
	if data.From > l.removedTo || data.From < 0 || data.To <= data.From {
		v.find(Finding{
			Rule: BadRemoval, Where: r.Position, Expected: fmt.Sprintf("a removal of the oldest records of %s, from %d or before", data.Log, l.removedTo),
			Found: fmt.Sprintf("one from %d to %d", data.From, data.To-1),
		})
		return
	}
	l.removals = append(l.removals, removal{data, r.Position, e.Time})
	l.removedTo = max(l.removedTo, data.To)
	slices.SortStableFunc(l.removals, func(a, b removal) int { return cmp.Compare(a.To, b.To) })
}

// compareRemovals checks what removals say of the tree as it is now.
func (v *verifier) compareRemovals(l *logState) {
	for ; l.checked < len(l.removals) && l.removals[l.checked].To <= l.tree.Size(); l.checked++ {
		m := l.removals[l.checked]
		if root := l.tree.Root().String(); m.To == l.tree.Size() && m.Root != root {
			v.find(Finding{Rule: BadRemoval, Where: m.at, Expected: fmt.Sprintf("the root %s of %s at %d", root, m.Log, m.To), Found: m.Root})
		}
	}
}

// present looks at a record that is there: it may have come from an archive, or be one
// that should have gone.
func (v *verifier) present(l *logState, p audit.Position) {
	if _, partial := v.source.(Partial); partial || p.Index >= l.removedTo {
		return
	}
	if a, ok := v.source.(Archived); ok && a.Archived(p) {
		l.report.Archived++
		return
	}
	l.unremoved++
}

// noteRemoved says what retention has removed of a log, and what has not gone yet.
func (v *verifier) noteRemoved(l *logState) {
	if l.report.Removed+l.report.Archived > 0 {
		last := l.removals[len(l.removals)-1]
		text := fmt.Sprintf("%s: records 0 to %d were removed by retention, the last on %s (%s: %s)", l.name, last.To-1, last.when.UTC().Format(time.DateOnly), last.at, last.Reason)
		var places []string
		for _, m := range l.removals {
			if m.Archive != "" && !slices.Contains(places, m.Archive) {
				places = append(places, m.Archive)
			}
		}
		switch {
		case l.report.Removed == 0:
			text += "; all of them were read from archives"
		case l.report.Archived > 0:
			text += fmt.Sprintf("; %d were read from archives, %d were not there", l.report.Archived, l.report.Removed)
		case len(places) > 0:
			text += "; they are archived in " + strings.Join(places, ", ")
		}
		switch {
		case l.lost:
			text += "; their hashes are not there, so that the rest is not proved by itself"
		case l.report.Removed > 0:
			text += "; their hashes are as sealed, what they said was not checked"
		}
		v.note(text)
	}
	if l.unremoved > 0 {
		v.note(fmt.Sprintf("%s: %d records are there that the record says are removed: the broker goes on with that when it starts", l.name, l.unremoved))
	}
}
