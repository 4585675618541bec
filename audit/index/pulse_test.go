package index_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
)

// asked is a held call of the copilot for alice, one of many alike.
func (h *history) asked(call string) audit.Intent {
	h.t.Helper()
	return h.open(wanted{call: call, domain: "payments", tool: "payments.refund", person: "alice", agent: "copilot", arguments: `{}`, policy: "p", held: true})
}

func (h *history) refused(call string) {
	h.t.Helper()
	by := audit.Identity{Issuer: "https://idp.example", Principal: "bob", Expires: start.Add(time.Hour)}
	h.append(audit.CallDenied, "payments", call, audit.Outcome{Code: audit.CodeApprover, Reason: "no", By: &by, Decision: &audit.Decision{Effect: audit.Allow}})
}

func TestPrecedentsCountWhatPeopleDecided(t *testing.T) {
	t.Parallel()
	h := three(t) // one approved call of this kind, and one that nobody was asked about
	for n := range 2 {
		h.asked(fmt.Sprintf("no-%d", n))
		h.refused(fmt.Sprintf("no-%d", n))
	}
	h.asked("late")
	h.made = 3700 // the hour that it had is over
	h.append(audit.CallExpired, "payments", "late", audit.Outcome{Code: audit.CodeExpired})
	h.made = 3701
	h.asked("open")
	i, _ := index.Open(t.Context(), filepath.Join(t.TempDir(), index.FileName), slog.New(slog.DiscardHandler))
	h.catchUp(i)
	h.append(audit.CallCancelled, "payments", "open", audit.Outcome{Code: audit.CodeClient})
	h.asked("again")
	h.catchUp(i)    // in a second batch: what was open is not any more
	defer i.Close() //nolint:errcheck // at the end of the test
	kind := index.Alike{Domain: "payments", Tool: "payments.refund", Agent: "copilot", Principal: "alice"}
	other := kind
	other.Principal = "dora"
	got, err := i.Precedents(t.Context(), start.Add(-24*time.Hour), []index.Alike{kind, other, kind})
	if err != nil {
		t.Fatal(err)
	}
	want := map[index.Alike]index.Precedents{kind: {Approved: 1, Denied: 2, Expired: 1, Cancelled: 1, Open: 1}, other: {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("precedents (-want +got):\n%s", diff)
	}
	if later, err := i.Precedents(t.Context(), start.Add(48*time.Hour), []index.Alike{kind}); err != nil || later[kind] != (index.Precedents{}) {
		t.Errorf("of days to come: %+v, %v", later, err)
	}
}

func TestTheOverviewCountsByTime(t *testing.T) {
	t.Parallel()
	h := three(t)
	h.asked("no")   // event 8 and
	h.refused("no") // event 9, a second later
	h.made = 70     // the next minute
	h.asked("late") // at 71 s
	h.made = 130    // and the one after it
	h.append(audit.CallCancelled, "payments", "late", audit.Outcome{Code: audit.CodeClient})
	path := filepath.Join(t.TempDir(), index.FileName)
	i := h.indexed(path)
	o, err := i.Overview(t.Context(), start.Add(2*time.Minute), time.Minute, 3, "payments")
	if err != nil {
		t.Fatal(err)
	}
	want := []index.Moment{
		{At: start, Counts: index.Counts{Calls: 3, Held: 2, Approved: 1, Results: 1, Denied: 1}},
		{At: start.Add(time.Minute), Counts: index.Counts{Calls: 1, Held: 1}},
		{At: start.Add(2 * time.Minute), Counts: index.Counts{Cancelled: 1}},
	}
	if diff := cmp.Diff(want, o.Moments); diff != "" {
		t.Errorf("moments (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(index.Counts{Calls: 4, Held: 3, Approved: 1, Results: 1, Denied: 1, Cancelled: 1}, o.Total); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
	near := func(got, want time.Duration) bool { return got > want*9/10 && got < want*11/10 }
	if o.Decided != 2 || !near(o.P50, time.Second) || !near(o.P95, 3*time.Second) {
		t.Errorf("%d decided, half within %s and nearly all within %s; want 2, within 1 s and 3 s", o.Decided, o.P50, o.P95)
	}
	all, err := i.Overview(t.Context(), start.Add(time.Hour), 12*time.Hour, 60, "payments", "source", "elsewhere")
	if err != nil || all.Total.Calls != 5 || len(all.Moments) != 60 || all.Moments[59].Calls != 5 {
		t.Errorf("in half days: %+v, %v", all.Total, err)
	}
	none, err := i.Overview(t.Context(), start, time.Minute, 60)
	if err != nil || none.Total != (index.Counts{}) || len(none.Moments) != 60 {
		t.Errorf("without domains: %+v, %v", none.Total, err)
	}
	for _, bad := range []struct {
		step time.Duration
		n    int
	}{{time.Second, 60}, {90 * time.Second, 60}, {time.Minute, 0}, {time.Minute, 201}, {4 * time.Hour / 3, 200}, {-time.Hour, 3}} {
		if _, err := i.Overview(t.Context(), start, bad.step, bad.n, "payments"); err == nil {
			t.Errorf("%d steps of %s are counted", bad.n, bad.step)
		}
	}
}
