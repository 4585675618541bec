package broker_test

import (
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

func edit(t *testing.T, rig *brokertest.Rig, who *agents.Identity, h broker.HeldCall, args string) (calls.Call, error) {
	t.Helper()
	return rig.Edit(t.Context(), broker.Edit{Identity: who, CallID: h.ID, Digest: h.Digest(), Arguments: []byte(args), Reason: "mind the tone"})
}

// look is the held call as bob sees it now.
func look(t *testing.T, rig *brokertest.Rig, callID string) broker.HeldCall {
	t.Helper()
	h, err := rig.Held(t.Context(), bob, callID)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func voteAgain(t *testing.T, rig *brokertest.Rig, who *agents.Identity, callID string) error {
	t.Helper()
	now := look(t, rig, callID)
	_, err := rig.Vote(t.Context(), broker.Vote{Identity: who, CallID: callID, Verdict: audit.Approve, Digest: now.Digest()})
	return err
}

func TestAnEditedCallRunsAsAnotherPersonApprovedIt(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask two, rudely")
	approve(t, rig, dave, h)
	c, err := edit(t, rig, bob, h, `{"text": "ask kindly"}`)
	if err != nil || c.State != calls.Held || c.Digest() == h.Digest() || len(c.Votes) != 1 {
		t.Fatalf("edited, the call is %+v, %v", c, err)
	}
	if now := look(t, rig, h.ID); string(now.Arguments) != `{"text":"ask kindly"}` {
		t.Errorf("bob now sees %s", now.Arguments)
	}
	wantKind(t, vote(t, rig, dave, h, audit.Approve, ""), broker.Conflict) // of what it was
	if err := voteAgain(t, rig, bob, h.ID); err != nil {                   // his own again: nothing more
		t.Fatal(err)
	}
	if n := len(fake.Calls()); n != 0 {
		t.Fatalf("the tool ran %d times on the word of its editor", n)
	}
	if err := voteAgain(t, rig, dave, h.ID); err != nil {
		t.Fatal(err)
	}
	reply, err := outcome(t, rig, h.ID)
	if err != nil || !strings.Contains(string(reply.Answer.Raw), "ask kindly") {
		t.Fatalf("outcome is %+v, %v", reply, err)
	}
	if e := reply.Edited; e == nil || e.By != "bob" || e.Reason != "mind the tone" || string(e.Arguments) != `{"text":"ask kindly"}` {
		t.Errorf("the agent is told %+v", e)
	}
	if ran := fake.Calls(); len(ran) != 1 || string(ran[0].Arguments) != `{"text":"ask kindly"}` {
		t.Errorf("the tool ran as %+v", ran)
	}
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallEdited, audit.CallApproval, audit.CallReleased, audit.CallResult)
}

// An edit to what policy would have permitted at once needs the second person all the same.
func TestAnEditToWhatNeedsNoApprovalStillNeedsAnother(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	if c, err := edit(t, rig, bob, h, `{"text":"harmless"}`); err != nil || c.State != calls.Held {
		t.Fatalf("edited, the call is %v, %v", c.State, err)
	}
	if err := voteAgain(t, rig, carol, h.ID); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("an auditor approved it: %v", err)
	}
	if err := voteAgain(t, rig, dave, h.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	if ran := fake.Calls(); len(ran) != 1 || string(ran[0].Arguments) != `{"text":"harmless"}` {
		t.Errorf("the tool ran as %+v", ran)
	}
}

func TestEditsThatAreRefusedChangeNothing(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	for name, refused := range map[string]struct {
		who  *agents.Identity
		args string
		want broker.Kind
	}{
		"of whom it is done for":   {alice, `{"text":"other"}`, broker.Denied},
		"of the agent":             {copilot, `{"text":"other"}`, broker.Denied},
		"of an approver's agent":   {brokertest.Through(bob, "copilot"), `{"text":"other"}`, broker.Denied},
		"that policy denies":       {bob, `{"text":"secret"}`, broker.Denied},
		"that do not fit the tool": {bob, `{"text":7}`, broker.Invalid},
		"that are no JSON":         {bob, `{"text"`, broker.Invalid},
		"with a member twice":      {bob, `{"text":"a","text":"b"}`, broker.Invalid},
	} {
		_, err := edit(t, rig, refused.who, h, refused.args)
		if got := broker.AsError(err).Kind; err == nil || got != refused.want {
			t.Errorf("an edit %s: %v", name, err)
		}
	}
	if now := look(t, rig, h.ID); now.Digest() != h.Digest() || string(now.Arguments) != `{"text":"ask"}` || len(now.Edits) != 0 {
		t.Errorf("the call is now %+v", now)
	}
	if _, err := edit(t, rig, bob, h, `{"text":"ask one"}`); err != nil {
		t.Fatal(err)
	}
	_, err := edit(t, rig, dave, h, `{"text":"ask other"}`) // of what he was shown, which is gone
	wantKind(t, err, broker.Conflict)
}

func TestAnEditSurvivesARestart(t *testing.T) {
	t.Parallel()
	first, _ := start(t, brokertest.Options{})
	h := held(t, first, "ask")
	if _, err := edit(t, first, bob, h, `{"text":"ask kindly"}`); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	rig, fake := start(t, brokertest.Options{Dir: first.Dir})
	if again := held(t, rig, "ask"); again.ID != h.ID || string(again.Arguments) != `{"text":"ask kindly"}` {
		t.Errorf("the same call again is %s with %s", again.ID, again.Arguments)
	}
	if err := voteAgain(t, rig, dave, h.ID); err != nil {
		t.Fatal(err)
	}
	if reply, err := outcome(t, rig, h.ID); err != nil || reply.Edited == nil {
		t.Fatalf("outcome is %+v, %v", reply, err)
	}
	if ran := fake.Calls(); len(ran) != 1 || string(ran[0].Arguments) != `{"text":"ask kindly"}` {
		t.Errorf("the tool ran as %+v", ran)
	}
}
