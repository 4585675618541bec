package verify_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

func check(tb testing.TB, s verify.Source, o verify.Options) *verify.Report {
	tb.Helper()
	r, err := verify.Verify(tb.Context(), s, o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestHonestHistoryHasNoFindings(t *testing.T) {
	t.Parallel()
	m := honest(t)
	for name, source := range map[string]verify.Source{"plain": m, "with hashes": hashed{m}} {
		r := check(t, source, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
		if !r.OK() {
			t.Errorf("%s: %v", name, r.Findings)
		}
		if r.Records != 16 || r.Calls != 5 || r.OpenCalls != 1 || r.Payloads != 10 || r.Checkpoints != 3 || !r.KeyGiven || r.Tenant != tenant {
			t.Errorf("%s: %+v", name, r)
		}
		i := slices.IndexFunc(r.Logs, func(l verify.LogReport) bool { return l.Log == log })
		l := r.Logs[i]
		if l.Size != 11 || l.Sealed != 10 || l.Unsealed != 1 || l.Checkpoints != 2 || l.Root != m.now(log).Root.String() || l.LastCheckpoint.IsZero() {
			t.Errorf("%s: %+v", name, l)
		}
		if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "not yet sealed") || !strings.Contains(notes, "1 calls are open") {
			t.Errorf("%s: notes %q", name, notes)
		}
	}
}

func TestKeyThatTheLogItselfNamesIsSaidToBeSo(t *testing.T) {
	t.Parallel()
	r := check(t, honest(t), verify.Options{})
	if !r.OK() || r.KeyGiven || !strings.Contains(strings.Join(r.Notes, "\n"), "no key was given from outside") {
		t.Errorf("got %+v", r)
	}
}

func TestEveryTamperingIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	at := func(log string, index int64) audit.Position { return audit.Position{Log: log, Index: index} }
	tests := map[string]struct {
		tamper func(t *testing.T, m *memory)
		rule   verify.Rule
		where  audit.Position // with stored hashes
		call   string
	}{
		"a changed byte": {func(_ *testing.T, m *memory) {
			r := &m.records[m.find(log, 7)]
			r.Stored = bytes.Replace(r.Stored, []byte(`"ok"`), []byte(`"oj"`), 1)
		}, verify.Altered, at(log, 7), "c"},
		"a changed byte after the last checkpoint": {func(_ *testing.T, m *memory) {
			r := &m.records[m.find(log, 10)]
			r.Stored = bytes.Replace(r.Stored, []byte(`alice`), []byte(`alicf`), 1)
		}, verify.Altered, at(log, 10), "e"},
		"a record that is no JSON any more": {func(_ *testing.T, m *memory) {
			m.records[m.find(log, 7)].Stored[0] = 'x'
		}, verify.Unparsable, at(log, 7), ""},
		"a changed byte, hashes recomputed": {func(_ *testing.T, m *memory) {
			change(m, log, 7, func(o *audit.Outcome) { o.Reason = "another" })
			m.renumber(log)
		}, verify.RootMismatch, at(log, 6), ""},
		"removed": {func(_ *testing.T, m *memory) {
			i := m.find(log, 3)
			m.records = slices.Delete(m.records, i, i+1)
		}, verify.Missing, at(log, 3), ""},
		"removed and renumbered": {func(_ *testing.T, m *memory) {
			i := m.find(log, 1)
			m.records = slices.Delete(m.records, i, i+1)
			m.renumber(log)
		}, verify.RootMismatch, at(log, 0), ""},
		"the end removed": {func(_ *testing.T, m *memory) {
			m.records = slices.DeleteFunc(m.records, func(r audit.Record) bool { return r.Position.Log == log && r.Position.Index > 8 })
		}, verify.Truncated, at(log, 9), ""},
		"added": {func(_ *testing.T, m *memory) {
			m.intend("x", allow())
			last := len(m.records) - 1
			r := m.records[last]
			m.records = slices.Insert(m.records[:last:last], m.find(log, 2), r)
			m.renumber(log)
		}, verify.RootMismatch, at(log, 0), ""},
		"reordered": {func(_ *testing.T, m *memory) {
			i, j := m.find(log, 6), m.find(log, 8)
			m.records[i].Stored, m.records[j].Stored = m.records[j].Stored, m.records[i].Stored
		}, verify.Altered, at(log, 6), "d"},
		"read out of order": {func(_ *testing.T, m *memory) {
			i, j := m.find(log, 6), m.find(log, 8)
			m.records[i], m.records[j] = m.records[j], m.records[i]
		}, verify.OutOfOrder, at(log, 7), "c"},
		"duplicated": {func(_ *testing.T, m *memory) {
			e, err := m.records[m.find(log, 9)].Event()
			if err != nil {
				t.Fatal(err)
			}
			m.append(e)
		}, verify.DuplicateID, at(log, 11), "d"},
		"envelope of somebody else": {func(_ *testing.T, m *memory) {
			e := m.about(m.event(audit.CallResult, "payments", audit.TopicCalls, "e", replica, start.Add(time.Minute), audit.Outcome{Code: audit.CodeOK}))
			e.Actor = "another"
			m.append(e)
		}, verify.Envelope, at(log, 11), "e"},
		"envelope of a token that lasts longer": {func(_ *testing.T, m *memory) {
			e := m.about(m.event(audit.CallResult, "payments", audit.TopicCalls, "e", replica, start.Add(time.Minute), audit.Outcome{Code: audit.CodeOK}))
			later := start.Add(2 * time.Hour)
			e.TokenExpires = &later
			m.append(e)
		}, verify.Envelope, at(log, 11), "e"},
		"approved in one's own name": {func(_ *testing.T, m *memory) {
			m.vote("x", "alice", m.intend("x", hold()))
		}, verify.SelfApproval, at(log, 12), "x"},
		"decided by policies never in force": {func(_ *testing.T, m *memory) {
			d := allow()
			d.PolicySet = "draft"
			m.intend("x", d)
		}, verify.UnknownPolicy, at(log, 11), "x"},
		"run by whoever did not release it": {func(_ *testing.T, m *memory) {
			m.append(m.about(m.event(audit.CallResult, "payments", audit.TopicCalls, "a", replica+"-2", start.Add(time.Minute), audit.Outcome{Code: audit.CodeOK})))
		}, verify.Rule(calls.NotPermitted), at(log, 11), "a"},
		"never sealed again": {func(_ *testing.T, m *memory) {
			m.append(m.about(m.event(audit.CallResult, "payments", audit.TopicCalls, "e", replica, start.Add(time.Hour), audit.Outcome{Code: audit.CodeOK})))
		}, verify.Unsealed, at(log, 10), ""},
		"moved to another log": {func(_ *testing.T, m *memory) {
			i := m.find(log, 7)
			m.records = append(m.records, audit.Record{Position: at("source/calls", 0), Stored: m.records[i].Stored})
		}, verify.Misrouted, at("source/calls", 0), "c"},
		"checkpoint forged": {func(t *testing.T, m *memory) {
			t.Helper()
			m.checkpoint(m.now(log), newKey(t))
		}, verify.BadCheckpoint, at(seal.CheckpointsLog, 3), ""},
		"checkpoint forked": {func(_ *testing.T, m *memory) {
			c := m.now(log)
			c.Size, c.Root[0] = 10, c.Root[0]^1
			m.checkpoint(c, m.key)
		}, verify.Forked, at(seal.CheckpointsLog, 3), ""},
		"checkpoint of a smaller tree": {func(_ *testing.T, m *memory) {
			c := m.now(log)
			c.Size = 3
			m.checkpoint(c, m.key)
		}, verify.CheckpointOrder, at(seal.CheckpointsLog, 3), ""},
		"checkpoint says another size": {func(_ *testing.T, m *memory) {
			change(m, seal.CheckpointsLog, 1, func(c *audit.Checkpoint) { c.Size++ })
		}, verify.BadCheckpoint, at(seal.CheckpointsLog, 1), ""},
		"checkpoint dropped": {func(_ *testing.T, m *memory) {
			i := m.find(seal.CheckpointsLog, 1)
			m.records = slices.Delete(m.records, i, i+1)
		}, verify.Missing, at(seal.CheckpointsLog, 1), ""},
		"result without intent": {func(_ *testing.T, m *memory) { m.result("x") }, verify.Rule(calls.NoIntent), at(log, 11), "x"},
		"approval of another digest": {func(_ *testing.T, m *memory) {
			change(m, log, 3, func(a *audit.Approval) { a.Digest = strings.Repeat("0", 64) })
		}, verify.Rule(calls.DigestMismatch), at(log, 3), "b"},
		"release without approval": {func(_ *testing.T, m *memory) {
			in := m.intend("x", hold())
			m.release("x", in, "event-1")
		}, verify.Rule(calls.BadRelease), at(log, 12), "x"},
		"second intent of an old call": {func(_ *testing.T, m *memory) { m.intend("a", allow()) }, verify.Rule(calls.TwoIntents), at(log, 11), "a"},
		"payload changed": {func(_ *testing.T, m *memory) {
			k := at(log, 6).String() + audit.PayloadArguments
			p := m.payloads[k]
			p.Body = []byte(`{"amount":1}`)
			m.payloads[k] = p
		}, verify.PayloadMismatch, at(log, 6), "c"},
		"payload removed": {func(_ *testing.T, m *memory) { delete(m.payloads, at(log, 7).String()+audit.PayloadOutput) }, verify.PayloadMissing, at(log, 7), "c"},
		"payload of another type": {func(_ *testing.T, m *memory) {
			k := at(log, 7).String() + audit.PayloadOutput
			p := m.payloads[k]
			p.MediaType = "text/html"
			m.payloads[k] = p
		}, verify.PayloadMismatch, at(log, 7), "c"},
		"unknown replica": {func(_ *testing.T, m *memory) {
			e := m.event(audit.CallUnknown, "payments", audit.TopicCalls, "e", "deed://acme/two", start, audit.Outcome{Code: audit.CodeCrash})
			m.append(e)
		}, verify.UnknownSource, at(log, 11), "e"},
		"another tenant": {func(_ *testing.T, m *memory) {
			e := m.event(audit.CallUnknown, "payments", audit.TopicCalls, "e", replica, start, audit.Outcome{Code: audit.CodeCrash})
			e.Tenant = "other"
			m.append(e)
		}, verify.UnknownTenant, at(log, 11), "e"},
		"a control event among calls": {func(_ *testing.T, m *memory) { m.call(audit.PolicyActivated, "e", audit.Activation{}) }, verify.WrongTopic, at(log, 11), "e"},
		"a key that nobody introduced": {func(t *testing.T, m *memory) {
			t.Helper()
			m.control(audit.ReplicaStarted, audit.Started{Key: newKey(t).Verifier().String()})
		}, verify.BadRotation, at("deed/control", 2), ""},
		"a rotation that the old key did not sign": {func(t *testing.T, m *memory) {
			t.Helper()
			next := newKey(t)
			r, err := next.HandOver(m.key.Verifier())
			if err != nil {
				t.Fatal(err)
			}
			r.Old, r.New = r.New, r.Old
			m.control(audit.KeyRotated, r)
		}, verify.BadRotation, at("deed/control", 2), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := honest(t)
			tt.tamper(t, m)
			r := check(t, hashed{m}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
			if !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Rule == tt.rule && f.Where == tt.where && f.CallID == tt.call }) {
				t.Errorf("want %s at %s of call %q, got:\n%v", tt.rule, tt.where, tt.call, r.Findings)
			}
			if r.OK() {
				t.Error("the report is OK")
			}
			if tt.where.Log != log || tt.where.Index < 10 || tt.rule != verify.Altered { // only hashes know of that one
				if plain := check(t, m, verify.Options{}); plain.OK() {
					t.Error("without stored hashes and a key, the report is OK")
				}
			}
		})
	}
}

// A single flipped bit, wherever it is, is found, and its record is named.
func TestAnyFlippedBitNamesItsRecord(t *testing.T) {
	t.Parallel()
	base := honest(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &memory{records: slices.Clone(base.records), payloads: base.payloads, hashes: base.hashes, key: base.key}
		n := rapid.IntRange(0, len(m.records)-1).Draw(t, "record")
		r := &m.records[n]
		r.Stored = bytes.Clone(r.Stored)
		bit := rapid.IntRange(0, len(r.Stored)*8-1).Draw(t, "bit")
		r.Stored[bit/8] ^= 1 << (bit % 8)
		got, err := verify.Verify(t.Context(), hashed{m}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(got.Findings, func(f verify.Finding) bool { return f.Where == r.Position }) {
			t.Fatalf("bit %d of %s: %v", bit, r.Position, got.Findings)
		}
	})
}

func TestRotationIsFollowed(t *testing.T) {
	t.Parallel()
	m := honest(t)
	first, second := m.key, newKey(t)
	r, err := first.HandOver(second.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	m.control(audit.KeyRotated, r)
	m.control(audit.KeyRotated, r) // another replica says the same
	m.key = second
	m.seal()
	for name, given := range map[string][]seal.Verifier{"none": nil, "the first": {first.Verifier()}, "the second": {second.Verifier()}} {
		if r := check(t, m, verify.Options{Keys: given}); !r.OK() || len(r.Keys) != 2 {
			t.Errorf("given %s: %v", name, r.Findings)
		}
	}
	if r := check(t, m, verify.Options{Keys: []seal.Verifier{newKey(t).Verifier()}}); r.OK() {
		t.Error("a log of other keys than the given one is accepted")
	}
	m.key = first
	m.intend("late", allow())
	m.seal()
	r2 := check(t, m, verify.Options{Keys: []seal.Verifier{second.Verifier()}})
	if !slices.ContainsFunc(r2.Findings, func(f verify.Finding) bool { return f.Rule == verify.CheckpointOrder }) {
		t.Errorf("a checkpoint of the old key after the new one: %v", r2.Findings)
	}
}

// Whoever makes up a history and a rotation to the real key has not its seal.
func TestRotationToTheGivenKeyDoesNotVouchForTheOneBefore(t *testing.T) {
	t.Parallel()
	m := honest(t)
	trusted := newKey(t)
	r, err := m.key.HandOver(trusted.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	m.control(audit.KeyRotated, r)
	got := check(t, m, verify.Options{Keys: []seal.Verifier{trusted.Verifier()}})
	if !slices.ContainsFunc(got.Findings, func(f verify.Finding) bool { return f.Rule == verify.UnknownKey && f.Where.Log == log }) {
		t.Errorf("got %v", got.Findings)
	}
}

func TestCheckpointKeptOutsideTellsThatTheEndWasRemoved(t *testing.T) {
	t.Parallel()
	m := honest(t)
	m.result("e")
	kept := m.checkpoint(m.now(log), m.key)
	sound := check(t, m, verify.Options{Kept: []string{kept}})
	if !sound.OK() {
		t.Fatalf("got %v", sound.Findings)
	}
	m.records = m.records[:len(m.records)-2] // with the checkpoint that covers it
	if r := check(t, m, verify.Options{}); !r.OK() {
		t.Fatalf("the test removes too much: %v", r.Findings)
	}
	r := check(t, m, verify.Options{Kept: []string{kept}})
	if len(r.Findings) != 1 || r.Findings[0].Rule != verify.Truncated {
		t.Errorf("got %v", r.Findings)
	}
}

func TestOpenCallIsAFindingOnceNoBrokerRuns(t *testing.T) {
	t.Parallel()
	r := check(t, honest(t), verify.Options{Closed: true})
	if len(r.Findings) != 1 || r.Findings[0].Rule != verify.Rule(calls.Unclosed) || r.Findings[0].CallID != "e" || r.Findings[0].Where.Index != 10 {
		t.Errorf("got %v", r.Findings)
	}
}

func TestErasedPayloadIsNoFinding(t *testing.T) {
	t.Parallel()
	m := honest(t)
	m.payloads[log+"@6"+audit.PayloadArguments] = audit.Payload{}
	r := check(t, m, verify.Options{})
	if !r.OK() || r.Erased != 1 || r.Payloads != 9 {
		t.Errorf("got %+v", r)
	}
	for _, p := range []string{log + "@6", log + "@7"} {
		delete(m.payloads, p+audit.PayloadArguments)
		delete(m.payloads, p+audit.PayloadOutput)
	}
	if r := check(t, m, verify.Options{SkipPayloads: true}); !r.OK() || r.Payloads != 0 {
		t.Errorf("payloads were to be skipped: %+v", r)
	}
}

// What happens to a call long after it closed is judged like all else.
func TestLateEventsOfClosedCallsAreFoldedFromTheBeginning(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	in := m.intend("lost", allow())
	m.call(audit.CallUnknown, "lost", audit.Outcome{Code: audit.CodeCrash})
	m.intend("done", allow())
	m.result("done")
	for n := range 4200 {
		m.call(audit.CallDenied, fmt.Sprintf("denied-%d", n), audit.Outcome{Code: audit.CodePolicy, Request: &in}, audit.Payload{})
	}
	m.call(audit.CallReconciled, "lost", audit.Reconciliation{Happened: true, By: person("bob")})
	m.call(audit.CallUnknown, "done", audit.Outcome{Code: audit.CodeCrash})
	o := verify.Options{SkipPayloads: true, Closed: true}
	if r := check(t, m, o); !r.OK() || r.Calls != 4202 {
		t.Fatalf("an honest end: %d calls, %v", r.Calls, r.Findings)
	}
	m.call(audit.CallReconciled, "done", audit.Reconciliation{Happened: true, By: person("bob")})
	m.intend("lost", allow())
	r := check(t, m, o)
	var got []string
	for _, f := range r.Findings {
		got = append(got, f.CallID+" "+string(f.Rule))
	}
	if want := []string{"done not_unknown", "lost two_intents"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFindingsAreBoundedAndCounted(t *testing.T) {
	t.Parallel()
	m := honest(t)
	for n := range 20 {
		m.result(fmt.Sprintf("x%d", n))
	}
	r := check(t, m, verify.Options{MaxFindings: 5})
	if len(r.Findings) != 5 || r.Omitted != 15 || r.OK() {
		t.Errorf("%d findings, %d omitted", len(r.Findings), r.Omitted)
	}
	if s := r.Findings[0].String(); !strings.Contains(s, "no_intent") || !strings.Contains(s, log+"@") {
		t.Errorf("a finding reads %q", s)
	}
}

// Whatever honest replicas leave behind, cut off anywhere, has no findings.
func TestHonestHistoriesHaveNoFindings(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &memory{payloads: map[string]audit.Payload{}, hashes: map[string][]tlog.Hash{}, key: key, sealed: map[string]int64{}}
		m.control(audit.ReplicaStarted, audit.Started{Key: key.Verifier().String()})
		open := map[string]func(){} // what each call does next
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"seal": func(*rapid.T) { m.seal() },
			"open": func(t *rapid.T) {
				id := fmt.Sprintf("call-%d", next)
				next++
				open[id] = m.life(id, rapid.SampledFrom([]string{"ran", "denied", "approved", "expired", "lost"}).Draw(t, "life"), open)
			},
			"go on": func(t *rapid.T) {
				if len(open) == 0 {
					return
				}
				ids := make([]string, 0, len(open))
				for id := range open {
					ids = append(ids, id)
				}
				slices.Sort(ids)
				open[ids[rapid.IntRange(0, len(ids)-1).Draw(t, "call")]]()
			},
		})
		cut := rapid.IntRange(0, 3).Draw(t, "cut") // the tail that a crash leaves unwritten
		for cut > 0 && len(m.records) > 1 && m.unsealed(m.records[len(m.records)-1]) {
			m.records, cut = m.records[:len(m.records)-1], cut-1
		}
		r, err := verify.Verify(t.Context(), m, verify.Options{Keys: []seal.Verifier{key.Verifier()}})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() {
			t.Fatal(r.Findings)
		}
	})
}

func (m *memory) unsealed(r audit.Record) bool {
	return r.Position.Log != seal.CheckpointsLog && r.Position.Index >= m.sealed[r.Position.Log]
}

// life begins a call and returns its next step.
func (m *memory) life(id, kind string, open map[string]func()) func() {
	end := func() { delete(open, id) }
	switch kind {
	case "denied":
		m.call(audit.CallDenied, id, audit.Outcome{Code: audit.CodeUnknownTool, Request: &audit.Intent{Tool: "x", Identity: alice()}})
		return end
	case "approved":
		in := m.intend(id, hold())
		return func() {
			vote := m.vote(id, "bob", in)
			open[id] = func() {
				m.release(id, in, vote)
				open[id] = func() { m.result(id); end() }
			}
		}
	case "expired":
		m.intend(id, hold())
		return func() {
			m.append(m.about(m.event(audit.CallExpired, "payments", audit.TopicCalls, id, replica, start.Add(6*time.Minute), audit.Outcome{Code: audit.CodeExpired})))
			end()
		}
	case "lost":
		m.intend(id, allow())
		return func() {
			m.call(audit.CallUnknown, id, audit.Outcome{Code: audit.CodeCrash})
			open[id] = func() {
				m.call(audit.CallReconciled, id, audit.Reconciliation{By: person("bob")})
				end()
			}
		}
	default:
		m.intend(id, allow())
		return func() { m.result(id); end() }
	}
}

func TestReportIsJSON(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(check(t, honest(t), verify.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"findings":[]`, `"key_given":false`, `"log":"payments/calls"`, `"keys":["deed/acme+`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}
