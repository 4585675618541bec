package verify_test

import (
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

// eraseAndHold has bob erase one call, place a legal hold on another and lift one.
func eraseAndHold(t *testing.T, rig *brokertest.Rig, bob *agents.Identity, erased, kept string) {
	t.Helper()
	var c calls.Call
	var places []audit.Position
	for r, err := range rig.Log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Subject == erased {
			if _, err := c.Apply(e, r.Position); err != nil {
				t.Fatal(err)
			}
			places = append(places, r.Position)
		}
	}
	if _, err := rig.PlaceLegalHold(t.Context(), bob, audit.Scope{Call: kept}, "case 17"); err != nil {
		t.Fatal(err)
	}
	h, err := rig.PlaceLegalHold(t.Context(), bob, audit.Scope{Call: erased}, "case 18")
	if err != nil {
		t.Fatal(err)
	}
	request := broker.ErasureRequest{By: bob, Scope: audit.Scope{Call: erased}, Reason: "ticket 4711", Calls: []broker.Erasable{{Call: c, Records: places}}}
	if _, err := rig.Erase(t.Context(), request); broker.AsError(err).Kind != broker.Denied {
		t.Fatalf("erasing what is held: %v", err)
	}
	if err := rig.LiftLegalHold(t.Context(), bob, h.ID, "closed"); err != nil {
		t.Fatal(err)
	}
	if x, err := rig.Erase(t.Context(), request); err != nil || x.Calls != 1 || x.Payloads != 2 {
		t.Fatalf("erased %+v: %v", x, err)
	}
}

// An erasure counts from where it stands in the log: what a legal hold kept then may
// not be gone, and what it did not keep may.
func TestErasuresAreJudgedByTheLegalHoldsOfTheirTime(t *testing.T) {
	t.Parallel()
	at := audit.Places{Log: log, Indexes: []int64{6}}
	hold := func(m *memory) string {
		m.control(audit.LegalHoldPlaced, audit.LegalHold{Scope: audit.Scope{Principal: "alice"}, Reason: "case 17"})
		e, err := m.records[len(m.records)-1].Event()
		if err != nil {
			t.Error(err)
		}
		return e.ID
	}
	erase := func(m *memory) {
		m.control(audit.PayloadsErased, audit.Erasure{Calls: []string{"c"}, Records: []audit.Places{at}})
	}
	retain := func(m *memory, except ...int64) {
		m.control(audit.PayloadsErased, audit.Erasure{Log: log, From: 0, To: 8, Before: time.Now(), Except: except})
	}
	for name, test := range map[string]struct {
		record func(m *memory)
		want   []verify.Rule
	}{
		"nothing on record":             {func(*memory) {}, []verify.Rule{verify.UnrecordedErasure}},
		"erased":                        {func(m *memory) { erase(m) }, nil},
		"retention":                     {func(m *memory) { retain(m) }, nil},
		"retention, and it is excepted": {func(m *memory) { retain(m, 6) }, []verify.Rule{verify.UnrecordedErasure}},
		"held, then erased":             {func(m *memory) { hold(m); erase(m) }, []verify.Rule{verify.ErasedUnderHold}},
		"held, then retention":          {func(m *memory) { hold(m); retain(m) }, []verify.Rule{verify.ErasedUnderHold}},
		"erased, then held":             {func(m *memory) { erase(m); hold(m) }, nil},
		"held, lifted, erased": {func(m *memory) {
			id := hold(m)
			m.control(audit.LegalHoldLifted, audit.LegalHoldEnd{Hold: id})
			erase(m)
		}, nil},
		"held, another lifted, erased": {func(m *memory) { hold(m); m.control(audit.LegalHoldLifted, audit.LegalHoldEnd{Hold: "x"}); erase(m) }, []verify.Rule{verify.ErasedUnderHold}},
		"others are held": {func(m *memory) {
			m.control(audit.LegalHoldPlaced, audit.LegalHold{Scope: audit.Scope{Principal: "zoe"}})
			erase(m)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := honest(t)
			m.erasesOnRecord = true
			test.record(m)
			m.payloads[log+"@6"+audit.PayloadArguments] = audit.Payload{}
			r := check(t, m, verify.Options{})
			var got []verify.Rule
			for _, f := range r.Findings {
				got = append(got, f.Rule)
			}
			if len(got) != len(test.want) || len(got) > 0 && got[0] != test.want[0] {
				t.Errorf("found %v, want %v", r.Findings, test.want)
			}
		})
	}
}
