package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

func TestCountersAreTypeChecked(t *testing.T) {
	t.Parallel()
	const head = `permit (principal, action, resource);
		@recent("spent: sum amount of payments.refund by principal in 24h; calls: count * by agent+tool in 10m")
		forbid (principal, action == Action::"payments.refund", resource) when { `
	for name, tt := range map[string]struct{ text, want string }{
		"good":            {head + `context.recent.spent + context.input.amount > 500 || context.recent.calls > 9 };`, ""},
		"misspelt":        {head + `context.recent.spend > 500 };`, "spend"},
		"of another type": {head + `context.recent.spent == "500" };`, "type"},
		"undeclared":      {`forbid (principal, action == Action::"payments.refund", resource) when { context.recent.spent > 1 };`, "recent"},
		"no counter":      {`@recent("spent: amount") permit (principal, action, resource);`, "is no counter"},
		"by what":         {`@recent("n: count * by moon in 1h") permit (principal, action, resource);`, "want principal, agent, tool or session"},
		"too short":       {`@recent("n: count * by agent in 1s") permit (principal, action, resource);`, "has the window"},
		"too long":        {`@recent("n: count * by agent in 90d") permit (principal, action, resource);`, "has the window"},
		"sums text":       {`@recent("n: sum memo of payments.refund by agent in 1h") permit (principal, action, resource);`, "not an integer"},
		"two of one name": {`@recent("n: count * by agent in 1h") permit (principal, action, resource); @recent("n: count * by agent in 2h") permit (principal, action, resource);`, "another counter n"},
		"declared twice":  {`@recent("n: count * by agent in 1h") permit (principal, action, resource); @recent("n: count * by agent in 60m") permit (principal, action, resource);`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, found := policy.Compile([]policy.File{{Name: "a.cedar", Text: []byte(tt.text)}}, []policy.Tool{refund()}, policy.Options{})
			all := ""
			for _, f := range found {
				all += f.String() + "\n"
			}
			if (set != nil) != (tt.want == "") || !strings.Contains(all, tt.want) {
				t.Errorf("got %v, want %q", all, tt.want)
			}
		})
	}
}

func TestACounterWithoutAValueDenies(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action, resource);
		@recent("n: count * by agent in 1h") forbid (principal, action == Action::"payments.refund", resource) when { context.recent.n > 3 };`, refund())
	r := policy.Request{Tool: "payments.refund", Links: []policy.Link{alice()}, Input: decoded(t, `{"amount":1}`), Now: noon}
	if d, err := set.Decide(r); err == nil || d.Effect != audit.Deny {
		t.Errorf("got %v, %v", d, err)
	}
	for n, want := range map[int64]audit.Effect{3: audit.Allow, 4: audit.Deny} {
		r.Recent = map[string]int64{"n": n}
		if d, err := set.Decide(r); err != nil || d.Effect != want {
			t.Errorf("%d: got %v, %v", n, d, err)
		}
	}
}

func TestATallyForgetsWhatIsOlderThanItsWindow(t *testing.T) {
	t.Parallel()
	c := policy.Counter{Name: "n", Tool: "*", By: []string{"agent"}, Window: time.Hour}
	tallies := policy.NewTallies()
	for minute := range 180 {
		if err := tallies.Add(c, "k", noon.Add(time.Duration(minute)*time.Minute), 1); err != nil {
			t.Fatal(err)
		}
	}
	for after, want := range map[time.Duration]int64{0: 61, 30 * time.Minute: 31, 59 * time.Minute: 2, 2 * time.Hour: 0} {
		if got := tallies.Value(c, "k", noon.Add(179*time.Minute+after)); got != want {
			t.Errorf("%s after the last: %d, want %d", after, got, want)
		}
	}
	if got := tallies.Value(c, "other", noon); got != 0 {
		t.Errorf("another key: %d", got)
	}
	if got := policy.Saturated(1<<62, 1<<62); got != 1<<63-1 {
		t.Errorf("saturated: %d", got)
	}
}
