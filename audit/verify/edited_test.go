package verify_test

import (
	"slices"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/audit/verify"
)

// After an edit the events of a call state the arguments that run, and a history in which
// they state those that were asked for is found out.
func TestAnEditedCallsEventsStateWhatRuns(t *testing.T) {
	t.Parallel()
	m, key := recorded(t)
	options := verify.Options{Keys: []seal.Verifier{key}}
	if r := check(t, m, options); !r.OK() {
		t.Fatal(r.Findings)
	}
	asked, events := m.editedCall(t)
	for _, typ := range []audit.Type{audit.CallEdited, audit.CallReleased, audit.CallResult} {
		i, ok := events[typ]
		if !ok {
			t.Fatalf("the edited call has no %s", typ)
		}
		changed := m.clone()
		changed.restate(t, i, asked)
		at := changed.records[i].Position
		changed.renumber(at.Log)
		found := slices.ContainsFunc(check(t, changed, options).Findings, func(f verify.Finding) bool {
			return f.Rule == verify.StatementMismatch && f.Where == at
		})
		if !found {
			t.Errorf("%s states what was asked for, and nobody minds", typ)
		}
	}
}

// editedCall is the statement with which the edited call was opened, and where its events are.
func (m *memory) editedCall(t *testing.T) (asked string, at map[audit.Type]int) {
	t.Helper()
	opened, call := map[string]audit.Event{}, ""
	at = map[audit.Type]int{}
	for i, r := range m.records {
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		switch e.Type {
		case audit.CallIntent:
			opened[e.Subject] = e
		case audit.CallEdited:
			edit, err := audit.DataOf[audit.Edit](e)
			if err != nil {
				t.Fatal(err)
			}
			if c := m.claims(t, e.Statement); c.Context.Arguments != edit.Arguments.Digest || c.Context.Editor != "bob" || c.Context.Asked != m.claims(t, opened[e.Subject].Statement).Context.Arguments {
				t.Errorf("the edit states %+v", c)
			}
			call = e.Subject
		default:
		}
		if call != "" && e.Subject == call {
			at[e.Type] = i
		}
	}
	return opened[call].Statement, at
}

// claims are what a statement says, by the keys that the log announces.
func (m *memory) claims(t *testing.T, token string) statement.Claims {
	t.Helper()
	keys := statement.Keys{}
	for _, r := range m.records {
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != audit.StatementKeyAnnounced {
			continue
		}
		a, err := audit.DataOf[audit.StatementKey](e)
		if err == nil {
			keys[a.ID], err = statement.Public(a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := keys.Open(token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
