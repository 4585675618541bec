package verify

import (
	"fmt"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// moved reads an event of control that says that this history goes on from another log,
// or in one.
func (v *verifier) moved(r audit.Record, e audit.Event) {
	data, err := audit.DataOf[audit.Move](e)
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
		return
	}
	if data.To != "" {
		v.note(fmt.Sprintf("this log has ended: %s says that it goes on in %s", r.Position, data.To))
	}
	for _, l := range data.Logs {
		c, _, err := seal.OpenCheckpoint(l.Note, v.keys.chain...)
		switch {
		case err != nil:
			v.find(Finding{Rule: BadMove, Where: r.Position, Expected: "a checkpoint of " + l.Log + ", signed by a key of this log", Found: err.Error()})
		case c.Log != l.Log || c.Size != l.Size:
			v.find(Finding{Rule: BadMove, Where: r.Position, Expected: fmt.Sprintf("a checkpoint of %s at %d", l.Log, l.Size), Found: fmt.Sprintf("one of %s at %d", c.Log, c.Size)})
		default:
			v.report.Moved = append(v.report.Moved, Ended{c.Log, c.Size, c.Root.String()})
		}
	}
	if len(data.Logs) > 0 {
		v.note(fmt.Sprintf("this history goes on from another log, as %s says; that one's records are archived in %s", r.Position, data.Archive))
	}
}
