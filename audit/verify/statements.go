package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/statement"
)

// statements are the keys that control announces, and how many statements they hold for.
type statements struct {
	keys  statement.Keys
	known map[string]announced
}

type announced struct {
	audit.StatementKey
	at time.Time
}

func newStatements() statements {
	return statements{keys: statement.Keys{}, known: map[string]announced{}}
}

// announced reads the announcement of a key that signs statements.
func (v *verifier) announced(r audit.Record, e audit.Event) {
	bad := func(expected, found string) {
		v.find(Finding{Rule: BadStatementKey, Where: r.Position, Expected: expected, Found: found})
	}
	a, err := audit.DataOf[audit.StatementKey](e)
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
		return
	}
	public, err := statement.Public(a)
	switch {
	case err != nil:
		bad("a key", err.Error())
		return
	case a.Source != e.Source:
		bad("a key of "+e.Source, "one of "+a.Source)
		return
	}
	if err := seal.OpenVouch(a, v.keys.chain); err != nil {
		bad("a key that one of the log's own vouches for", err.Error())
		return
	}
	if _, twice := v.statements.known[a.ID]; twice {
		bad("a key that was not announced before", a.ID)
		return
	}
	v.statements.keys[a.ID], v.statements.known[a.ID] = public, announced{a, e.Time}
}

// statement checks the statement of an event against the call that it stands with. The
// events of histories before there were statements have none.
func (v *verifier) statement(r audit.Record, e audit.Event, call *calls.Call, counted bool) {
	if e.Statement == "" || v.options.SkipStatements {
		return
	}
	var want statement.Claims
	switch {
	case call.Opening.ID == e.ID:
		want = statement.Of(e.Tenant, e.Subject, &call.Intent, e.Time)
	case e.Type == audit.CallEdited:
		edit, err := audit.DataOf[audit.Edit](e)
		if err != nil { // whoever folds it says so
			return
		}
		want = statement.Edited(e.Tenant, e.Subject, &call.Intent, edit, e.Time)
	default:
		v.repeated(r, e, call, counted)
		return
	}
	if n := v.options.SampleStatements; n > 1 && rand.IntN(n) > 0 { //nolint:gosec // it decides what is looked at, and nobody knows it beforehand
		v.report.Unsampled++
		return
	}
	v.workers.add(stated{at: r.Position, e: e, want: want})
}

// checkStatement checks one that was opened, by itself. It is called by several workers at once.
func (v *verifier) checkStatement(s stated, o statement.Opened) (Finding, bool) {
	if o.Err != nil {
		return Finding{Rule: BadStatement, Where: s.at, Expected: "a statement signed by a key that was announced", Found: o.Err.Error(), CallID: s.e.Subject}, true
	}
	if err := v.misused(v.statements.known[o.Key], s.e); err != nil {
		return Finding{Rule: BadStatement, Where: s.at, Found: err.Error(), CallID: s.e.Subject}, true
	}
	if err := o.Claims.Fits(s.want); err != nil {
		return Finding{Rule: StatementMismatch, Where: s.at, Found: err.Error(), CallID: s.e.Subject}, true
	}
	return Finding{}, false
}

// repeated checks the statement of an event that neither makes a call nor edits it. What
// releases the call, and what came of it, is of the arguments as they are then; whoever wrote
// another event may not have met the latest edit yet.
func (v *verifier) repeated(r audit.Record, e audit.Event, call *calls.Call, counted bool) {
	made := e.Statement == call.Intent.Statement || slices.ContainsFunc(call.Edits, func(c calls.Edit) bool { return c.Statement == e.Statement })
	bound := counted && (e.Type == audit.CallReleased || e.Type == audit.CallResult || e.Type == audit.CallFailed)
	switch {
	case !made:
		v.find(Finding{Rule: StatementMismatch, Where: r.Position, Expected: "the statement that the call was opened or edited with", Found: "another", CallID: e.Subject})
	case bound && e.Statement != call.Statement():
		v.find(Finding{Rule: StatementMismatch, Where: r.Position, Expected: "the statement of the call as it was edited", Found: "one from before", CallID: e.Subject})
	}
}

// misused says why a key may not have signed the statement of an event.
func (v *verifier) misused(key announced, e audit.Event) error {
	switch {
	case key.Source != e.Source:
		return fmt.Errorf("its statement is signed by the key of %s, and the event written by %s", key.Source, e.Source)
	case e.Time.Before(key.at.Add(-statement.Tolerance)):
		return fmt.Errorf("its statement is signed by a key that was announced later, at %s", key.at.Format(time.RFC3339))
	case e.Time.After(key.Retires.Add(statement.Tolerance)):
		return fmt.Errorf("its statement is signed by a key that had retired, at %s", key.Retires.Format(time.RFC3339))
	default:
		return nil
	}
}
