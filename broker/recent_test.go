package broker_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const budget = `
permit (principal, action, resource);
@id("budget") @reason("At most 10 at a time are echoed a day.")
@recent("echoed: count desk.echo by principal in 24h; waited: sum milliseconds of desk.slow by principal+agent in 1h")
forbid (principal, action == Action::"desk.echo", resource) when { context.recent.echoed >= 10 };
@id("patience") forbid (principal, action == Action::"desk.slow", resource)
when { context.input has milliseconds && context.recent.waited + context.input.milliseconds > 5 };
@id("after-an-echo") forbid (principal, action == Action::"desk.fail", resource) when { context.recent.echoed == 0 };
@id("ask") @approvers("lead") forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };`

func budgeted(t *testing.T, dir, policies string) *brokertest.Rig {
	t.Helper()
	return brokertest.Start(t, brokertest.Options{
		Dir: dir, Policies: policies, HoldWait: time.Millisecond, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()},
	})
}

func try(t *testing.T, rig *brokertest.Rig, who, tool, args string) (*broker.Reply, error) {
	t.Helper()
	id := brokertest.Through(brokertest.Person(who, "support"), "copilot")
	return rig.Call(t.Context(), broker.Request{Identity: id, Tool: "desk." + tool, Arguments: json.RawMessage(args)})
}

// Of any number of calls at once as many are let through as policy says, and a restart
// forgets none.
func TestABudgetHoldsForCallsAtOnceAndAcrossRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rig := budgeted(t, dir, budget)
	if _, err := try(t, rig, "alice", "fail", `{}`); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("before any echo: %v", err)
	}
	var let atomic.Int64
	var wg sync.WaitGroup
	for n := range 30 {
		wg.Go(func() {
			if _, err := try(t, rig, "alice", "echo", fmt.Sprintf(`{"text":"%d"}`, n)); err == nil {
				let.Add(1)
			} else if !strings.Contains(broker.AsError(err).Public, "budget") {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if let.Load() != 10 {
		t.Errorf("%d of 30 calls were let through", let.Load())
	}
	if _, err := try(t, rig, "dave", "echo", `{"text":"mine"}`); err != nil {
		t.Errorf("another person's budget: %v", err)
	}
	if _, err := try(t, rig, "alice", "fail", `{}`); err != nil {
		t.Errorf("after an echo: %v", err)
	}
	rig.Stop()
	rig = budgeted(t, dir, budget)
	if _, err := try(t, rig, "alice", "echo", `{"text":"again"}`); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("after a restart: %v", err)
	}
	for n, want := range []bool{true, true, false, true} { // 2 + 3, not 4 more, none more
		reply, err := try(t, rig, "alice", "slow", fmt.Sprintf(`{"milliseconds":%d}`, []int{2, 3, 4, 0}[n]))
		if (err == nil) != want {
			t.Errorf("slow call %d: %v", n, err)
		}
		if n == 1 {
			in, err := audit.DataOf[audit.Intent](rig.Events(t, reply.CallID)[0])
			if r := in.Decision.Recent; err != nil || r == nil || !slices.Contains(r.Values, audit.Counted{Counter: "waited", N: 2}) || !slices.Contains(r.Adds, audit.Counted{Counter: "waited", Sum: "milliseconds", N: 3}) || len(r.At) == 0 {
				t.Errorf("the decision says of what it is based on: %+v, %v", in.Decision.Recent, err)
			}
		}
	}
}

func TestAHeldCallCountsOnceItIsReleased(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rig := budgeted(t, dir, strings.Replace(budget, ">= 10", ">= 1", 1))
	reply, err := try(t, rig, "alice", "echo", `{"text":"ask"}`)
	if err != nil || reply.Pending == nil {
		t.Fatalf("got %+v, %v", reply, err)
	}
	if _, err := try(t, rig, "alice", "fail", `{}`); err == nil {
		t.Error("a held call counts already")
	}
	h, err := rig.Held(t.Context(), bob, reply.CallID)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h)
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		if again {
			rig.Stop()
			rig = budgeted(t, dir, strings.Replace(budget, ">= 10", ">= 1", 1))
		}
		if _, err := try(t, rig, "alice", "fail", `{}`); err != nil {
			t.Errorf("a released call does not count, after a restart: %t: %v", again, err)
		}
		if _, err := try(t, rig, "alice", "echo", `{"text":"more"}`); err == nil {
			t.Errorf("the budget is not used up, after a restart: %t", again)
		}
	}
}

// A counter that is declared later counts what happened before, by the arguments in the
// log; and what a draft with one would have done can be seen beforehand.
func TestACounterDeclaredLaterKnowsThePast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rig := budgeted(t, dir, `permit (principal, action, resource);`)
	for range 3 {
		if _, err := try(t, rig, "alice", "slow", `{"milliseconds":2}`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rig.Activate(t.Context(), brokertest.Files(budget)); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, rig, "alice", "slow", `{"milliseconds":1}`); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("6 were waited for before the counter was declared: %v", err)
	}
	rig.Stop()
	log, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	known, err := hindsight.Tools(t.Context(), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, found := policy.Compile(brokertest.Files(budget), known, policy.Options{})
	if set == nil {
		t.Fatal(found)
	}
	r, err := hindsight.Replay(t.Context(), log, set, hindsight.Options{})
	if err != nil || r.Newly(hindsight.Denied) != 1 || r.Calls != 4 {
		t.Errorf("the third call would have been denied: %+v, %v", r, err)
	}
}
