package broker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// held makes a call that is held, and returns it as bob sees it.
func held(t *testing.T, rig *brokertest.Rig, text string) broker.HeldCall {
	t.Helper()
	reply, err := rig.Call(t.Context(), echo(text))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Pending == nil {
		t.Fatalf("call was not held: %s", reply.Answer.Raw)
	}
	h, err := rig.Held(t.Context(), bob, reply.CallID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func vote(t *testing.T, rig *brokertest.Rig, who *agents.Identity, h broker.HeldCall, v audit.Verdict, reason string) error {
	t.Helper()
	_, err := rig.Vote(t.Context(), broker.Vote{Identity: who, CallID: h.ID, Verdict: v, Digest: h.Intent.Digest, Reason: reason})
	return err
}

func approve(t *testing.T, rig *brokertest.Rig, who *agents.Identity, h broker.HeldCall) {
	t.Helper()
	if err := vote(t, rig, who, h, audit.Approve, ""); err != nil {
		t.Fatal(err)
	}
}

// outcome waits until the call has ended.
func outcome(t *testing.T, rig *brokertest.Rig, callID string) (*broker.Reply, error) {
	t.Helper()
	for {
		reply, err := rig.Await(t.Context(), copilot, callID, nil)
		if err != nil || reply.Pending == nil {
			return reply, err
		}
	}
}

func TestAHeldCallRunsOnceApproved(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	if string(h.Arguments) != `{"text":"ask"}` || !h.MayVote {
		t.Errorf("bob sees %s, may vote: %t (%s)", h.Arguments, h.MayVote, h.WhyNot)
	}
	approve(t, rig, bob, h)
	approve(t, rig, bob, h) // again: nothing more
	reply, err := outcome(t, rig, h.ID)
	if err != nil || !strings.Contains(string(reply.Answer.Raw), "ask") {
		t.Fatalf("outcome is %+v, %v", reply, err)
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult)
	if again, err := outcome(t, rig, h.ID); err != nil || string(again.Answer.Raw) != string(reply.Answer.Raw) {
		t.Errorf("asked again, the outcome is %+v, %v", again, err)
	}
}

func TestTheSameCallPicksUpTheHeldOne(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	if again := held(t, rig, "ask"); again.ID != h.ID {
		t.Error("a repeated call was held a second time")
	}
	approve(t, rig, bob, h)
	var reply *broker.Reply
	for reply == nil || reply.Pending != nil {
		var err error
		if reply, err = rig.Call(t.Context(), echo("ask")); err != nil {
			t.Fatal(err)
		}
	}
	if reply.CallID != h.ID {
		t.Error("the repeated call did not get the outcome of the held one")
	}
	if next := held(t, rig, "ask"); next.ID == h.ID {
		t.Error("an outcome was given for two calls")
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
}

func TestAnOpenRequestGetsTheOutcome(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{HoldWait: time.Minute})
	waiting := make(chan broker.Pending, 16)
	req := echo("ask")
	req.Waiting = func(p broker.Pending) { waiting <- p }
	var wg sync.WaitGroup
	wg.Go(func() {
		reply, err := rig.Call(t.Context(), req)
		if err != nil || reply.Pending != nil {
			t.Errorf("reply is %+v, %v", reply, err)
		}
	})
	p := <-waiting
	if len(p.Approvers) != 1 || p.Approvers[0] != "lead" || p.Reasons[0].Policy != "ask-a-lead" {
		t.Errorf("the agent is told %+v", p)
	}
	h, err := rig.Held(t.Context(), bob, p.CallID)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h)
	wg.Wait()
}

//nolint:tparallel // the subtests vote on one call, whose record is looked at after the last of them
func TestOnlyTheRightPeopleDecide(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	tests := map[string]struct {
		who  *agents.Identity
		says string
	}{
		"the principal":                  {alice, "four-eyes"},
		"the agent itself":               {copilot, "only people decide"},
		"an approver's agent":            {brokertest.Through(bob, "copilot"), "only people decide"},
		"an agent on its own":            {brokertest.Through(&agents.Identity{Issuer: bob.Issuer, Expires: bob.Expires}, "copilot"), "only people decide"},
		"somebody without the role":      {carol, "no policy permits"},
		"a permitted one, not asked for": {brokertest.Person("eve", "lead2"), "no policy permits"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := refusal(t, vote(t, rig, tt.who, h, audit.Approve, ""), broker.Denied)
			if !strings.Contains(e.Public, tt.says) {
				t.Errorf("told %q, want something of %q", e.Public, tt.says)
			}
		})
	}
	refused := 0
	for _, typ := range rig.Types(t, h.ID) {
		if typ == audit.CallVoteRefused {
			refused++
		}
	}
	if refused != len(tests) {
		t.Errorf("%d of %d refused votes are on record", refused, len(tests))
	}
	if len(fake.Calls()) != 0 {
		t.Error("the tool ran")
	}
}

func TestAVoteBindsToTheExactCall(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	one, two := held(t, rig, "ask one"), held(t, rig, "ask 2")
	one.Intent.Digest = two.Intent.Digest
	wantKind(t, vote(t, rig, bob, one, audit.Approve, ""), broker.Conflict)
}

func TestAQuorumCountsEachPersonOnce(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask two")
	approve(t, rig, bob, h)
	approve(t, rig, bob, h)
	if len(fake.Calls()) != 0 {
		t.Fatal("one approval was enough")
	}
	approve(t, rig, dave, h)
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallApproval, audit.CallReleased, audit.CallResult)
}

func TestADenialEndsTheCallWithItsReason(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	wantKind(t, vote(t, rig, bob, h, audit.Reject, ""), broker.Invalid)
	if err := vote(t, rig, bob, h, audit.Reject, "ask me tomorrow"); err != nil {
		t.Fatal(err)
	}
	_, err := outcome(t, rig, h.ID)
	if e := refusal(t, err, broker.Denied); !strings.Contains(e.Public, "bob") || !strings.Contains(e.Public, "ask me tomorrow") {
		t.Errorf("the agent is told %q", e.Public)
	}
	if e := refusal(t, vote(t, rig, dave, h, audit.Approve, ""), broker.Conflict); !strings.Contains(e.Public, "denied by bob") {
		t.Errorf("the late voter is told %q", e.Public)
	}
	if len(fake.Calls()) != 0 {
		t.Error("the tool ran")
	}
}

func TestNobodyElseLearnsTheOutcome(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	_, err := rig.Await(t.Context(), brokertest.Through(bob, "copilot"), h.ID, nil)
	wantKind(t, err, broker.NotFound)
	_, err = rig.Held(t.Context(), carol, h.ID)
	wantKind(t, err, broker.NotFound)
	if n := len(rig.Pending(t.Context(), carol)); n != 0 {
		t.Errorf("carol sees %d pending calls", n)
	}
}

func TestTheCallerCanWithdraw(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	_, err := rig.Cancel(t.Context(), bob, h.ID, "not mine")
	wantKind(t, err, broker.NotFound)
	if _, err := rig.Cancel(t.Context(), alice, h.ID, "no longer needed"); err != nil {
		t.Fatal(err)
	}
	_, err = outcome(t, rig, h.ID)
	wantKind(t, err, broker.Lapsed)
	wantKind(t, vote(t, rig, bob, h, audit.Approve, ""), broker.Conflict)
	if len(fake.Calls()) != 0 {
		t.Error("the tool ran")
	}
}

func TestAHoldExpires(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "soon")
	_, err := outcome(t, rig, h.ID)
	wantKind(t, err, broker.Lapsed)
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallExpired)
	if len(fake.Calls()) != 0 {
		t.Error("the tool ran")
	}
}

func TestWhatChangesWhileHeldIsNotRun(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, rig *brokertest.Rig, fake *toolstest.Fake){
		"the tool": func(t *testing.T, rig *brokertest.Rig, fake *toolstest.Fake) {
			t.Helper()
			fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string","maxLength":9}}`, "text"),
				func(context.Context, tools.Call) (tools.Answer, error) { return tools.Answer{}, errors.New("ran") })
			redefined(t, rig, fake)
		},
		"the policy": func(t *testing.T, rig *brokertest.Rig, _ *toolstest.Fake) {
			t.Helper()
			if _, err := rig.Activate(t.Context(), brokertest.Files(policies+`forbid (principal, action == Action::"desk.echo", resource);`)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig, fake := start(t, brokertest.Options{})
			h := held(t, rig, "ask")
			change(t, rig, fake)
			approve(t, rig, bob, h)
			_, err := outcome(t, rig, h.ID)
			wantKind(t, err, broker.Lapsed)
			wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallCancelled)
			if n := len(fake.Calls()); n != 0 {
				t.Errorf("the tool ran %d times", n)
			}
		})
	}
}

func TestHeldCallsOutliveARestart(t *testing.T) {
	t.Parallel()
	first, _ := start(t, brokertest.Options{})
	h, undecided := held(t, first, "ask"), held(t, first, "ask later")
	first.Stop()

	// The vote arrives while no broker is there to act on it: it was acknowledged just before the end.
	castOffline(t, first.Dir, h)

	rig, fake := start(t, brokertest.Options{Dir: first.Dir})
	reply, err := outcome(t, rig, h.ID)
	if err != nil || !strings.Contains(string(reply.Answer.Raw), "ask") {
		t.Fatalf("outcome is %+v, %v", reply, err)
	}
	approve(t, rig, bob, undecided)
	if _, err := outcome(t, rig, undecided.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(fake.Calls()); n != 2 {
		t.Errorf("the tool ran %d times, want 2", n)
	}
	rig.Stop()
	rig, fake = start(t, brokertest.Options{Dir: first.Dir})
	if again, err := outcome(t, rig, h.ID); err != nil || string(again.Answer.Raw) != string(reply.Answer.Raw) {
		t.Errorf("after another restart the outcome is %+v, %v", again, err)
	}
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("the tool ran %d times more", n)
	}
}

func TestACrashLeavesUnknown(t *testing.T) {
	t.Parallel()
	first, _ := start(t, brokertest.Options{})
	h := held(t, first, "ask")
	first.Stop()
	// What a killed broker leaves: a call that was permitted at once, one that was released.
	running := leaveRunning(t, first.Dir, h)
	castOffline(t, first.Dir, h)
	leaveReleased(t, first.Dir, h)

	rig, fake := start(t, brokertest.Options{Dir: first.Dir})
	_, err := outcome(t, rig, h.ID)
	wantKind(t, err, broker.OutcomeUnknown)
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallUnknown)
	wantTypes(t, rig, running, audit.CallIntent, audit.CallUnknown)
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("the tool ran %d times more", n)
	}
	state := fold(t, rig, h.ID)
	if err := rig.Reconcile(t.Context(), carol, state, true, "saw it"); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("carol reconciled: %v", err)
	}
	if err := rig.Reconcile(t.Context(), bob, state, true, "saw it"); err != nil {
		t.Fatal(err)
	}
	if fold(t, rig, h.ID).Reconciled == nil {
		t.Error("the finding is not part of the call")
	}
}

func fold(t *testing.T, rig *brokertest.Rig, callID string) calls.Call {
	t.Helper()
	var c calls.Call
	for i, e := range rig.Events(t, callID) {
		if _, err := c.Apply(e, audit.Position{Log: e.LogName(), Index: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
