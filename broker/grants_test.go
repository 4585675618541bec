package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/grants"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

const granting = policies + `
permit (principal in Role::"lead", action == Action::"grant", resource);
@id("not-in-advance") @reason("These are looked at one by one.")
forbid (principal == User::"dave", action == Action::"grant", resource);
`

func grantLike(rig *brokertest.Rig, who *agents.Identity, h broker.HeldCall, uses int, where ...audit.Condition) (grants.Grant, error) {
	return rig.Grant(context.Background(), broker.GrantRequest{
		Identity: who, CallID: h.ID, Digest: h.Digest(), Where: where, Uses: uses, Until: time.Now().Add(time.Hour), Reason: "a busy day",
	})
}

func textIs(text string) audit.Condition {
	value, _ := json.Marshal(text)
	return audit.Condition{Field: "/text", Equals: value}
}

func TestAGrantApprovesSoManyCallsLikeOne(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: granting, HoldWait: time.Minute})
	waiting := heldNow(t, rig, "ask")
	g, err := grantLike(rig, bob, waiting, 2, textIs("ask"))
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := outcome(t, rig, waiting.ID); err != nil || reply.Pending != nil { // its first use
		t.Fatalf("the call it was made from: %+v, %v", reply, err)
	}
	reply, err := rig.Call(t.Context(), echo("ask")) // the second
	if err != nil || reply.Pending != nil {
		t.Fatalf("a call alike: %+v, %v", reply, err)
	}
	wantTypes(t, rig, reply.CallID, audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult)
	c := fold(t, rig, reply.CallID)
	if v := c.Votes[0]; v.By.Principal != "bob" || v.Grant != g.ID || v.Reason != "a busy day" {
		t.Errorf("it was approved by %+v", v.Approval)
	}
	if heldNow(t, rig, "ask").State.String() != "held" { // the third, beyond the grant
		t.Error("a grant of two covered a third call")
	}
	if heldNow(t, rig, "ask other").State.String() != "held" {
		t.Error("a grant covered other arguments")
	}
	if n := len(fake.Calls()); n != 2 {
		t.Errorf("the tool ran %d times", n)
	}
	if all := rig.Grants(bob); len(all) != 1 || all[0].Left(time.Now()) != 0 || len(all[0].Used) != 2 {
		t.Errorf("bob's grants are %+v", all)
	}
}

// heldNow makes a call in the background that waits, and returns it once it is held.
func heldNow(t *testing.T, rig *brokertest.Rig, text string) broker.HeldCall {
	t.Helper()
	waiting := make(chan broker.Pending, 64)
	req := echo(text)
	req.Waiting = func(p broker.Pending) {
		select {
		case waiting <- p:
		default:
		}
	}
	var group sync.WaitGroup
	t.Cleanup(group.Wait)
	group.Go(func() { _, _ = rig.Call(t.Context(), req) }) // its outcome is asked for elsewhere
	h, err := rig.Held(t.Context(), bob, (<-waiting).CallID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAGrantIsForWhoMayApproveAndGrant(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Policies: granting})
	h := held(t, rig, "ask")
	for name, who := range map[string]*agents.Identity{
		"whom it is done for": alice, "an auditor": carol, "the agent": copilot, "an approver's agent": brokertest.Through(bob, "copilot"),
		"an approver who may not grant": dave,
	} {
		if _, err := grantLike(rig, who, h, 2); broker.AsError(err).Kind != broker.Denied {
			t.Errorf("a grant by %s: %v", name, err)
		}
	}
	for name, where := range map[string]audit.Condition{"another call": textIs("ask other"), "nothing": {Field: "/text"}} {
		if _, err := grantLike(rig, bob, h, 2, where); broker.AsError(err).Kind != broker.Invalid {
			t.Errorf("a grant of %s: %v", name, err)
		}
	}
	if _, err := grantLike(rig, bob, h, 0); broker.AsError(err).Kind != broker.Invalid {
		t.Errorf("a grant of no call: %v", err)
	}
	if all := rig.Grants(bob); len(all) != 0 {
		t.Errorf("grants were made: %+v", all)
	}
}

// A quorum of two takes two grants: one person's counts once.
func TestGrantsCountOnceAPerson(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: strings.ReplaceAll(granting, `User::"dave"`, `User::"nobody"`)})
	h := held(t, rig, "ask two")
	for range 2 {
		if _, err := grantLike(rig, bob, h, 5); err != nil {
			t.Fatal(err)
		}
	}
	if now := look(t, rig, h.ID); len(now.Votes) > 1 || len(fake.Calls()) != 0 {
		t.Fatalf("one person's grants are %d votes, and the tool ran %d times", len(now.Votes), len(fake.Calls()))
	}
	if _, err := grantLike(rig, dave, look(t, rig, h.ID), 5); err != nil {
		t.Fatal(err)
	}
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	if c := fold(t, rig, h.ID); len(c.Votes) != 2 {
		t.Errorf("it was approved by %+v", c.Votes)
	}
}

func TestAGrantTakenBackIsOver(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Policies: granting})
	h := held(t, rig, "ask")
	g, err := grantLike(rig, bob, h, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	if err := rig.EndGrant(t.Context(), carol, g.ID, "mine"); broker.AsError(err).Kind != broker.NotFound {
		t.Errorf("an auditor took it back: %v", err)
	}
	if err := rig.EndGrant(t.Context(), dave, g.ID, "no"); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("dave took it back: %v", err)
	}
	if err := rig.EndGrant(t.Context(), bob, g.ID, "the day is over"); err != nil {
		t.Fatal(err)
	}
	if err := rig.EndGrant(t.Context(), bob, g.ID, "again"); broker.AsError(err).Kind != broker.Conflict {
		t.Errorf("taken back twice: %v", err)
	}
	if again := held(t, rig, "ask once more"); again.State.String() != "held" || len(again.Votes) != 0 {
		t.Errorf("over, it still approves: %+v", again.Votes)
	}
}

// However many calls come at once, no more run than were granted; and what was
// granted before a restart is granted after it.
func TestAGrantHoldsUnderConcurrencyAndRestart(t *testing.T) {
	t.Parallel()
	const uses, tries = 4, 12
	first, fake := start(t, brokertest.Options{Policies: granting})
	h := held(t, first, "ask")
	if _, err := grantLike(first, bob, h, uses); err != nil {
		t.Fatal(err)
	}
	if _, err := outcome(t, first, h.ID); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	ran := len(fake.Calls())

	rig, fake := start(t, brokertest.Options{Policies: granting, Dir: first.Dir, HoldWait: 300 * time.Millisecond})
	var group sync.WaitGroup
	for n := range tries {
		group.Go(func() {
			if _, err := rig.Call(t.Context(), echo(fmt.Sprintf("ask %d", n))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, g := range rig.Grants(bob) {
		if len(g.Used) != uses {
			t.Errorf("%d of %d uses count", len(g.Used), uses)
		}
	}
	pending := 0
	for _, h := range rig.Pending(t.Context(), bob) {
		if h.State.String() == "held" {
			pending++
		}
	}
	if ran += len(fake.Calls()); ran != uses || pending != tries+1-uses {
		t.Errorf("%d ran and %d wait; want %d and %d", ran, pending, uses, tries+1-uses)
	}
}
