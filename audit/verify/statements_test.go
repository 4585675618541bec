package verify_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/audit/verify"
)

const other = "deed://acme/two"

// announce puts a statement key of a replica on record, as vouched for by sealer.
func (m *memory) announce(tb testing.TB, source string, sealer *seal.Key, retires time.Time) *statement.Key {
	tb.Helper()
	k, err := statement.NewKey(start)
	if err != nil {
		tb.Fatal(err)
	}
	a, err := sealer.Vouch(k.Announcement(source, retires))
	if err != nil {
		tb.Fatal(err)
	}
	m.append(m.event(audit.StatementKeyAnnounced, audit.OwnDomain, audit.TopicControl, "", source, start, a))
	return k
}

// stated makes a call that is permitted at once, whose events carry a statement.
func (m *memory) stated(tb testing.TB, call string, key *statement.Key, change func(*statement.Claims), later func(string) string) {
	tb.Helper()
	m.intend(call, allow())
	last := &m.records[len(m.records)-1]
	e, err := last.Event()
	if err != nil {
		tb.Fatal(err)
	}
	in, err := audit.DataOf[audit.Intent](e)
	if err != nil {
		tb.Fatal(err)
	}
	c := statement.Of(tenant, call, &in, e.Time)
	change(&c)
	signed, err := key.Sign(c)
	if err != nil {
		tb.Fatal(err)
	}
	m.restate(tb, len(m.records)-1, signed)
	m.result(call)
	m.restate(tb, len(m.records)-1, later(signed))
	m.renumber(log)
}

func (m *memory) restate(tb testing.TB, i int, signed string) {
	tb.Helper()
	e, err := m.records[i].Event()
	if err != nil {
		tb.Fatal(err)
	}
	e.Statement = signed
	if m.records[i].Stored, err = json.Marshal(e); err != nil {
		tb.Fatal(err)
	}
}

func TestStatementsAreCheckedAgainstTheirCalls(t *testing.T) {
	t.Parallel()
	as := func(s string) string { return s }
	never := func(*statement.Claims) {}
	tests := map[string]struct {
		make  func(t *testing.T, m *memory)
		rules []verify.Rule
		hold  int64
	}{
		"as they should be": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, m.key, start.Add(time.Hour)), never, as)
		}, nil, 1},
		"none, as before there were any": {func(_ *testing.T, m *memory) { m.intend("s", allow()); m.result("s") }, nil, 0},
		"left out by a later event": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, m.key, start.Add(time.Hour)), never, func(string) string { return "" })
		}, nil, 1},
		"of another person": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, m.key, start.Add(time.Hour)), func(c *statement.Claims) { c.Subject = "bob" }, as)
		}, []verify.Rule{verify.StatementMismatch}, 0},
		"of another call": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, m.key, start.Add(time.Hour)), func(c *statement.Claims) { c.Call = "t" }, as)
		}, []verify.Rule{verify.StatementMismatch}, 0},
		"another in a later event": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, m.key, start.Add(time.Hour)), never, func(s string) string { return s + "A" })
		}, []verify.Rule{verify.StatementMismatch}, 1},
		"by a key that nobody announced": {func(t *testing.T, m *memory) {
			t.Helper()
			k, err := statement.NewKey(start)
			if err != nil {
				t.Fatal(err)
			}
			m.stated(t, "s", k, never, as)
		}, []verify.Rule{verify.BadStatement}, 0},
		"by the key of another replica": {func(t *testing.T, m *memory) {
			t.Helper()
			m.append(m.event(audit.ReplicaStarted, audit.OwnDomain, audit.TopicControl, "", other, start, audit.Started{Version: "1", Key: m.key.Verifier().String()}))
			m.stated(t, "s", m.announce(t, other, m.key, start.Add(time.Hour)), never, as)
		}, []verify.Rule{verify.BadStatement}, 0},
		"by a key that had retired": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, m.key, start.Add(-time.Hour)), never, as)
		}, []verify.Rule{verify.BadStatement}, 0},
		"by a key that the log does not vouch for": {func(t *testing.T, m *memory) {
			t.Helper()
			m.stated(t, "s", m.announce(t, replica, newKey(t), start.Add(time.Hour)), never, as)
		}, []verify.Rule{verify.BadStatementKey, verify.BadStatement}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(t)
			tt.make(t, m)
			r := check(t, m, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
			var rules []verify.Rule
			for _, f := range r.Findings {
				rules = append(rules, f.Rule)
			}
			if !slices.Equal(rules, tt.rules) || r.Statements != tt.hold {
				t.Errorf("found %v, %d hold", r.Findings, r.Statements)
			}
		})
	}
}

// A sample checks some of the statements, tells how many, and never takes a bad one that it
// checks for a good one.
func TestASampleOfStatementsIsChecked(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	key := m.announce(t, replica, m.key, start.Add(time.Hour))
	const calls = 40
	for n := range calls {
		m.stated(t, fmt.Sprint("call-", n), key, func(*statement.Claims) {}, func(s string) string { return s })
	}
	m.seal()
	for _, sample := range []int{0, 1, 4, 1 << 40} {
		r := check(t, m, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}, SampleStatements: sample})
		if !r.OK() || r.Statements+r.Unsampled != calls || (sample <= 1) != (r.Unsampled == 0) {
			t.Errorf("one in %d: %d checked, %d not: %v", sample, r.Statements, r.Unsampled, r.Findings)
		}
	}
}
