package hindsight_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const counting = `
permit (principal, action, resource);
@id("budget") @recent("echoed: count desk.echo by principal in 24h; waited: sum milliseconds of desk.slow by principal+agent in 1h")
forbid (principal, action == Action::"desk.echo", resource) when { context.recent.echoed >= 10 };
@id("patience") forbid (principal, action == Action::"desk.slow", resource)
when { context.input has milliseconds && context.recent.waited + context.input.milliseconds > 50 };
@id("ask") @approvers("lead") forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };`

// counted is what a real broker wrote that decides by counters, many calls at once and over a restart.
func counted(t *testing.T) *embedded.Log {
	t.Helper()
	dir := t.TempDir()
	for round := range 2 {
		rig := brokertest.Start(t, brokertest.Options{
			Dir: dir, HoldWait: time.Millisecond, Policies: counting, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()},
		})
		call := func(who, tool, args string) *broker.Reply {
			id := brokertest.Through(brokertest.Person(who, "support"), "copilot")
			reply, _ := rig.Call(t.Context(), broker.Request{Identity: id, Tool: "desk." + tool, Arguments: json.RawMessage(args)})
			return reply
		}
		var all sync.WaitGroup
		for n := range 24 {
			all.Go(func() {
				call([]string{"alice", "dave"}[n%2], "echo", fmt.Sprintf(`{"text":"word %d of %d"}`, n, round))
				call("alice", "slow", `{"milliseconds":1}`)
			})
		}
		all.Wait()
		bob := brokertest.Person("bob", "lead")
		if reply := call("erin", "echo", fmt.Sprintf(`{"text":"ask bob %d"}`, round)); reply != nil && reply.Pending != nil {
			held, err := rig.Held(t.Context(), bob, reply.CallID)
			if err == nil {
				_, err = rig.Vote(t.Context(), broker.Vote{Identity: bob, CallID: reply.CallID, Verdict: audit.Approve, Digest: held.Intent.Digest})
			}
			if err != nil {
				t.Fatal(err)
			}
		} else {
			t.Fatalf("got %+v", reply)
		}
		call("erin", "echo", fmt.Sprintf(`{"text":"one more of %d"}`, round))
		rig.Stop()
	}
	log, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// altered is a history in which decisions say something else.
type altered struct {
	hindsight.History

	decision func(audit.Type, *audit.Decision)
	source   func(n int) string // of the n-th record; nil: as it was
}

func (a altered) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		n := 0
		for r, err := range a.History.Read(ctx, from) {
			if err == nil && strings.HasSuffix(r.Position.Log, "/calls") {
				r.Stored, err = a.alter(r, n)
				n++
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (a altered) alter(r audit.Record, n int) ([]byte, error) {
	e, err := r.Event()
	if err != nil {
		return nil, err
	}
	if a.source != nil {
		e.Source = a.source(n)
	}
	if e.Type == audit.CallIntent {
		var in audit.Intent
		if in, err = audit.DataOf[audit.Intent](e); err == nil {
			a.decision(e.Type, &in.Decision)
			e.Data, err = json.Marshal(in)
		}
	} else if e.Type.Closes() || e.Type == audit.CallReleased {
		var data map[string]json.RawMessage
		if err = json.Unmarshal(e.Data, &data); err == nil && data["decision"] != nil {
			var d audit.Decision
			if err = json.Unmarshal(data["decision"], &d); err == nil {
				a.decision(e.Type, &d)
				if data["decision"], err = json.Marshal(d); err == nil {
					e.Data, err = json.Marshal(data)
				}
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

func TestDecisionsByCountersAreCountedAgain(t *testing.T) {
	t.Parallel()
	log := counted(t)
	honest, err := hindsight.Recount(t.Context(), log)
	if err != nil || honest.Decisions < 90 || len(honest.Wrong) > 0 || honest.Unjudged > 0 || honest.Behind > 0 {
		t.Fatalf("of an honest history: %+v, %v", honest, err)
	}
	for name, tt := range map[string]struct {
		change func(audit.Type, *audit.Decision)
		wrong  func(n int) bool
	}{
		"as they are": {func(audit.Type, *audit.Decision) {}, func(n int) bool { return n == 0 }},
		"nothing was counted": {func(_ audit.Type, d *audit.Decision) {
			if d.Recent != nil {
				for i := range d.Recent.Values {
					d.Recent.Values[i].N = 0
				}
			}
		}, func(n int) bool { return n > 20 }},
		"one less where a call was denied": {func(_ audit.Type, d *audit.Decision) {
			if d.Recent != nil && d.Effect == audit.Deny {
				for i, v := range d.Recent.Values {
					if v.Counter == "echoed" {
						d.Recent.Values[i].N--
					}
				}
			}
		}, func(n int) bool { return n > 0 }}, // those decided when all that was permitted had been read back
		"more than there was": {func(_ audit.Type, d *audit.Decision) {
			if d.Recent != nil {
				for i := range d.Recent.Values {
					d.Recent.Values[i].N += 5
				}
			}
		}, func(n int) bool { return n == 0 }}, // what a replica has permitted may not stand in the log yet
		"by policies that nobody knows": {func(_ audit.Type, d *audit.Decision) { d.PolicySet = strings.Repeat("00", 32) }, func(n int) bool { return n == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := hindsight.Recount(t.Context(), altered{History: log, decision: tt.change})
			if err != nil || !tt.wrong(len(got.Wrong)) {
				t.Errorf("%+v, %v", got, err)
			}
			for _, w := range got.Wrong {
				if w.Said >= w.Recorded || w.CallID == "" || !strings.HasSuffix(w.At.Log, "/calls") {
					t.Errorf("%+v", w)
				}
			}
		})
	}
}

// TestWhatWasOnItsWayShows has every decision know of nothing, which is honest, and of which some
// were made by another replica.
func TestWhatWasOnItsWayShows(t *testing.T) {
	t.Parallel()
	log := counted(t)
	knowNothing := func(_ audit.Type, d *audit.Decision) {
		if d.Recent != nil {
			d.Recent.At = nil
			for i := range d.Recent.Values {
				d.Recent.Values[i].N = 0
			}
		}
	}
	for source, behind := range map[string]bool{"one": false, "two": true} {
		got, err := hindsight.Recount(t.Context(), altered{History: log, decision: knowNothing, source: func(n int) string {
			if n%4 < 2 {
				return "deed://default/one"
			}
			return "deed://default/" + source
		}})
		if err != nil || len(got.Wrong) > 0 || (got.Behind > 0) != behind || (got.By > 0) != behind {
			t.Errorf("written by one and %s: %+v, %v", source, got, err)
		}
	}
}

func TestNothingIsCountedWherePoliciesDoNot(t *testing.T) {
	t.Parallel()
	if got, err := hindsight.Recount(t.Context(), recorded(t)); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
