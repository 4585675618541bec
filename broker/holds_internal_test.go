package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// waiting is a call of a caller that is held until some time after noon.
func waiting(id, caller string, until time.Duration) calls.Call {
	end := noon.Add(until)
	return calls.Call{
		ID: id, State: calls.Held,
		Intent: audit.Intent{Identity: audit.Identity{Principal: caller}, Decision: audit.Decision{Effect: audit.Hold, Expires: &end}},
	}
}

func finish(hs *holds, h *hold, at time.Time) {
	h.mu.Lock()
	h.call.State, h.call.Closing.Time = calls.Closed, at
	h.mu.Unlock()
	hs.end(h)
}

func TestAnOutcomeNobodyTookIsTheSameCallForAWhileOnly(t *testing.T) {
	t.Parallel()
	hs := newHolds()
	h := hs.add(waiting("a", "alice", time.Hour), atHand{key: callKey{1}}, false)
	if hs.same(callKey{1}, noon.Add(24*time.Hour)) != h {
		t.Error("an open hold is not what the same request means")
	}
	finish(hs, h, noon)
	if hs.same(callKey{1}, noon.Add(SameCallFor)) != h {
		t.Error("the outcome could not be picked up in time")
	}
	if hs.same(callKey{1}, noon.Add(SameCallFor+time.Second)) != nil {
		t.Error("an old outcome stands for a new call")
	}
	if hs.get("a") != h {
		t.Error("the old outcome cannot be asked for by its id")
	}
	hs.forget(noon.Add(keepFor + time.Second))
	if hs.get("a") != nil || len(hs.byKey)+len(hs.ended)+len(hs.due)+len(hs.open)+len(hs.waiting) != 0 {
		t.Errorf("something is left of a call that ended long ago: %+v", hs)
	}
}

func TestHoldsAreBoundedForEachAndForAll(t *testing.T) {
	t.Parallel()
	hs := newHolds()
	for _, tt := range []struct {
		caller string
		want   bool
	}{{"alice", true}, {"alice", true}, {"alice", false}, {"bob", true}, {"carol", false}} {
		if got := hs.reserve(tt.caller, 3, 2); got != tt.want {
			t.Errorf("room for %s: %t, want %t", tt.caller, got, tt.want)
		}
	}
	hs.free("bob")
	h := hs.add(waiting("a", "\x00alice", time.Hour), atHand{}, false)
	finish(hs, h, noon)
	finish(hs, h, noon) // again: nothing more
	if !hs.reserve("carol", 3, 2) || hs.total != 3 {
		t.Errorf("%d places are taken, want 3", hs.total)
	}
}

func TestEndedHoldsAreBounded(t *testing.T) {
	t.Parallel()
	hs := newHolds()
	for i := range maxEnded + 5 {
		finish(hs, hs.add(waiting(fmt.Sprint(i), "alice", time.Hour), atHand{}, false), noon)
	}
	hs.forget(noon)
	if len(hs.byID) != maxEnded || hs.get("4") != nil || hs.get("5") == nil {
		t.Errorf("%d ended holds are kept, want the last %d", len(hs.byID), maxEnded)
	}
}

func TestHoldsComeUpInTheOrderOfTheirDeadlines(t *testing.T) {
	t.Parallel()
	hs := newHolds()
	late, soon, denied := waiting("late", "a", 2*time.Minute), waiting("soon", "b", time.Minute), waiting("denied", "c", time.Second)
	for _, c := range []calls.Call{late, soon, denied} {
		hs.add(c, atHand{}, false)
	}
	finish(hs, hs.get("denied"), noon)
	var listed []string
	for _, h := range hs.list() {
		listed = append(listed, h.id)
	}
	if fmt.Sprint(listed) != "[soon late]" {
		t.Errorf("open holds are %v", listed)
	}
	if h := hs.overdue(noon.Add(time.Minute)); h != nil {
		t.Errorf("%s is overdue at its deadline", h.id)
	}
	now := noon.Add(time.Hour)
	first := hs.overdue(now)
	hs.postpone(first, noon.Add(time.Minute)) // its expiry could not be written
	if again := hs.overdue(now); first.id != "soon" || again != first {
		t.Errorf("%s and then %v came up, want soon twice", first.id, again)
	}
	finish(hs, first, now)
	hs.postpone(first, now)
	if h := hs.overdue(now); h == nil || h.id != "late" || hs.overdue(now) != nil {
		t.Error("late is not the last to come up")
	}
}

func TestArgumentsAreKeptWhileHeldAndSmall(t *testing.T) {
	t.Parallel()
	hs := newHolds()
	if h := hs.add(waiting("small", "a", time.Hour), atHand{args: []byte(`{}`)}, false); h.args == nil {
		t.Error("small arguments are not at hand")
	}
	if h := hs.add(waiting("large", "a", time.Hour), atHand{args: make([]byte, maxKeptArguments+1)}, false); h.args != nil {
		t.Error("large arguments are kept in memory")
	}
}

// BenchmarkHolds is what one more held call costs when 10,000 are open.
func BenchmarkHolds(b *testing.B) {
	hs := newHolds()
	for i := range 10_000 {
		hs.add(waiting(fmt.Sprint(i), fmt.Sprint(i%100), time.Hour), atHand{}, false)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !hs.reserve("x", 20_000, 100) || hs.overdue(noon) != nil {
			b.Fatal("no room, or something overdue")
		}
		hs.free("x")
		hs.forget(noon)
	}
}

// An abandoned flight is remembered until its intent comes by, without what it carried; their number is bounded.
func TestAbandonedCallsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFlights()
	for i := range maxAbandoned {
		c := &call{id: fmt.Sprint(i)}
		if _, err := f.start(c); err != nil {
			t.Fatal(err)
		}
		if f.abandon(c.id) {
			t.Fatal("an intent that nobody has met is called stored")
		}
		f.drop(c.id)
	}
	if _, err := f.start(&call{id: "more"}); err == nil {
		t.Fatal("a call starts while the log owes too much")
	}
	if fl, abandoned := f.meet("0"); !abandoned || fl == nil {
		t.Error("an abandoned call was forgotten")
	}
	if _, err := f.start(&call{id: "more"}); err != nil {
		t.Errorf("no call starts though the log has told: %v", err)
	}
	f.land("more")
	if len(f.open) != maxAbandoned-1 {
		t.Errorf("%d flights are open", len(f.open))
	}
}
