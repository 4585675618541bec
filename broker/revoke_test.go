package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const leadsRevoke = policies + `
permit (principal in Role::"lead", action == Action::"revoke", resource);
forbid (principal, action == Action::"revoke", resource == User::"root");
`

func agent(name string) denylist.Entry {
	return denylist.Entry{Kind: denylist.Agent, Value: name, Reason: "it went wild"}
}

func revoke(t *testing.T, rig *brokertest.Rig, e denylist.Entry) broker.Revocation {
	t.Helper()
	r, err := rig.Revoke(t.Context(), bob, e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// events are all of control, of one type.
func control[T any](t *testing.T, rig *brokertest.Rig, typ audit.Type) []T {
	t.Helper()
	var found []T
	for rec, err := range rig.Log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != typ {
			continue
		}
		data, err := audit.DataOf[T](e)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, data)
	}
	return found
}

func TestARevokedAgentIsRefusedUntilItIsLifted(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: leadsRevoke})
	if _, err := rig.Call(t.Context(), echo("before")); err != nil {
		t.Fatal(err)
	}
	made := revoke(t, rig, agent("copilot"))
	e := refusal(t, must1(rig.Call(t.Context(), echo("after"))), broker.Denied)
	if !strings.Contains(e.Public, "agent copilot has been revoked: it went wild") {
		t.Errorf("the agent is told %q", e.Public)
	}
	wantTypes(t, rig, e.CallID, audit.CallDenied)
	if c := fold(t, rig, e.CallID); c.Outcome.Code != audit.CodeRevoked {
		t.Errorf("recorded as %q", c.Outcome.Code)
	}
	if r := rig.Denied(copilot); r == nil || r.Kind != agents.Revoked || !r.Barred || r.Revocation != made.ID {
		t.Errorf("at the door it is %+v", r)
	}
	if r := rig.Denied(alice); r != nil {
		t.Errorf("alice herself is stopped too: %v", r)
	}
	if again := revoke(t, rig, agent("copilot")); again.ID != made.ID {
		t.Error("the same was revoked twice")
	}
	if n := len(control[audit.Revocation](t, rig, audit.CallerRevoked)); n != 1 {
		t.Errorf("%d revocations are on record", n)
	}
	if err := rig.Lift(t.Context(), bob, made.ID, "mended"); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.Call(t.Context(), echo("lifted")); err != nil {
		t.Fatal(err)
	}
	if n := len(fake.Calls()); n != 2 {
		t.Errorf("the tool ran %d times", n)
	}
	wantKind(t, rig.Lift(t.Context(), bob, made.ID, "again"), broker.NotFound)
}

// closed waits until a call has ended, and gives it as the log has it.
func closed(t *testing.T, rig *brokertest.Rig, callID string) calls.Call {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for rec, err := range rig.Log.Follow(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		head, err := audit.Peek(rec.Stored)
		if err != nil {
			t.Fatal(err)
		}
		if head.Subject == callID && head.Type.Closes() {
			break
		}
	}
	return fold(t, rig, callID)
}

// must1 is the error of a call that is refused.
func must1(_ *broker.Reply, err error) error { return err }

func TestOnlyPeopleWhomPolicyLetsRevoke(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Policies: leadsRevoke})
	root := denylist.Entry{Kind: denylist.Principal, Value: "root", Reason: "x"}
	for name, who := range map[string]*agents.Identity{
		"an agent with a lead's roles": brokertest.Through(bob, "copilot"), "an auditor": carol,
	} {
		if _, err := rig.Revoke(t.Context(), who, agent("copilot")); err == nil {
			t.Errorf("%s may revoke", name)
		} else {
			wantKind(t, err, broker.Denied)
		}
	}
	_, err := rig.Revoke(t.Context(), bob, root)
	wantKind(t, err, broker.Denied)
	if refused := control[audit.Refusal](t, rig, audit.ControlRefused); len(refused) != 3 {
		t.Errorf("%d refusals are on record", len(refused))
	}
	made := revoke(t, rig, agent("other"))
	wantKind(t, rig.Lift(t.Context(), brokertest.Through(bob, "other"), made.ID, ""), broker.Denied)
	if got := rig.Revocations(carol); len(got) != 0 {
		t.Errorf("carol reads %v", got)
	}
	if got := rig.Revocations(bob); len(got) != 1 || got[0].By != "bob" || got[0].Via != "person" {
		t.Errorf("bob reads %+v", got)
	}
	for name, e := range map[string]denylist.Entry{
		"no kind":         {Value: "x", Reason: "x"},
		"no name":         {Kind: denylist.Agent, Reason: "x"},
		"no reason":       {Kind: denylist.Agent, Value: "x"},
		"a key of anyone": {Kind: denylist.Key, Value: "k1", Reason: "x"},
		"an empty chain":  {Kind: denylist.Chain, Value: "alice", Reason: "x"},
		"an end gone by":  {Kind: denylist.Agent, Value: "x", Reason: "x", Until: time.Now().Add(-time.Second)},
	} {
		if _, err := rig.Revoke(t.Context(), bob, e); err == nil {
			t.Errorf("%s is accepted", name)
		} else {
			wantKind(t, err, broker.Invalid)
		}
	}
}

func TestHeldCallsOfTheRevokedAreClosed(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: leadsRevoke})
	theirs := held(t, rig, "ask one")
	voted := held(t, rig, "ask two")
	approve(t, rig, dave, voted)
	revoke(t, rig, denylist.Entry{Kind: denylist.Chain, Value: "alice", Agents: []string{"copilot"}, Reason: "look into it"})
	for _, h := range []broker.HeldCall{theirs, voted} {
		if c := closed(t, rig, h.ID); c.Closing.Type != audit.CallCancelled || c.Outcome.Code != audit.CodeRevokedUnrun {
			t.Errorf("it ended as %s, %s", c.Closing.Type, c.Outcome.Code)
		}
	}
	if err := vote(t, rig, bob, theirs, audit.Approve, ""); err == nil {
		t.Error("it could still be approved")
	}
	if len(fake.Calls()) > 0 {
		t.Error("the tool ran")
	}
}

func TestAnApprovalOfTheRevokedDoesNotStand(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: leadsRevoke})
	h := held(t, rig, "ask two")
	approve(t, rig, dave, h)
	revoke(t, rig, denylist.Entry{Kind: denylist.Principal, Value: "dave", Reason: "left the company"})
	c := closed(t, rig, h.ID)
	if c.Outcome.Code != audit.CodeRevokedUnrun || !strings.Contains(c.Outcome.Reason, "approval of dave") {
		t.Errorf("it ended as %s: %s", c.Outcome.Code, c.Outcome.Reason)
	}
	next := held(t, rig, "ask again")
	wantKind(t, vote(t, rig, dave, next, audit.Approve, ""), broker.Denied)
	if len(fake.Calls()) > 0 {
		t.Error("the tool ran")
	}
}

func TestARunningCallOfTheRevokedIsCancelled(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: leadsRevoke})
	runs, told := make(chan struct{}), make(chan error, 1)
	fake.Handle(toolstest.Define(toolstest.Hang, `{}`), func(ctx context.Context, _ tools.Call) (tools.Answer, error) {
		close(runs)
		<-ctx.Done()
		told <- context.Cause(ctx)
		return tools.Answer{}, errors.Join(tools.ErrUncertain, ctx.Err())
	})
	failed := make(chan error, 1)
	go func() { failed <- must1(rig.Call(t.Context(), call(copilot, "desk.hang", `{}`))) }()
	<-runs
	revoke(t, rig, denylist.Entry{Kind: denylist.Principal, Value: "alice", Reason: "account taken over"})
	if err := <-told; err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("the upstream was told %v", err)
	}
	e := refusal(t, <-failed, broker.OutcomeUnknown)
	wantTypes(t, rig, e.CallID, audit.CallIntent, audit.CallUnknown)
	if c := fold(t, rig, e.CallID); c.Outcome.Code != audit.CodeRevokedRunning {
		t.Errorf("recorded as %q", c.Outcome.Code)
	}
}

func TestAnAnswerIsWithheldFromTheRevoked(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Policies: leadsRevoke})
	runs, go1 := make(chan struct{}), make(chan struct{})
	fake.Handle(toolstest.Define(toolstest.Hang, `{}`), func(context.Context, tools.Call) (tools.Answer, error) {
		close(runs)
		<-go1 // it does not listen
		return tools.Answer{Raw: []byte(`{"content":[{"type":"text","text":"late"}]}`)}, nil
	})
	failed := make(chan error, 1)
	go func() { failed <- must1(rig.Call(t.Context(), call(copilot, "desk.hang", `{}`))) }()
	<-runs
	revoke(t, rig, agent("copilot"))
	close(go1)
	e := refusal(t, <-failed, broker.Denied)
	wantTypes(t, rig, e.CallID, audit.CallIntent, audit.CallResult)
}

func TestRevocationsSurviveARestart(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Policies: leadsRevoke})
	lifted := revoke(t, rig, agent("lifted"))
	stays := revoke(t, rig, agent("copilot"))
	revoke(t, rig, denylist.Entry{Kind: denylist.Token, Value: "t-1", Reason: "leaked", Until: time.Now().Add(time.Hour)})
	if err := rig.Lift(t.Context(), bob, lifted.ID, "mended"); err != nil {
		t.Fatal(err)
	}
	rig.Stop()
	again, _ := start(t, brokertest.Options{Dir: rig.Dir, Policies: leadsRevoke})
	got := again.Revocations(bob)
	if len(got) != 2 || got[0].ID != stays.ID || got[0].By != "bob" || !got[0].Time.Equal(stays.Time) || got[1].Kind != denylist.Token {
		t.Errorf("in force are %+v", got)
	}
	wantKind(t, must1(again.Call(t.Context(), echo("again"))), broker.Denied)
}

func TestAHeldCallOfTheRevokedIsClosedAfterARestart(t *testing.T) {
	t.Parallel()
	rig, _, log := faulty(t, brokertest.Options{Policies: leadsRevoke})
	h := held(t, rig, "ask")
	log.Inject(audittest.Fault{When: audittest.OfType(audit.CallCancelled), Refuse: audit.ErrUnavailable})
	revoke(t, rig, agent("copilot"))
	rig.Stop() // it could not be closed
	again, fake := start(t, brokertest.Options{Dir: rig.Dir, Policies: leadsRevoke})
	if c := closed(t, again, h.ID); c.Outcome.Code != audit.CodeRevokedUnrun {
		t.Errorf("it ended as %s", c.Outcome.Code)
	}
	if len(fake.Calls()) > 0 {
		t.Error("the tool ran")
	}
}

func TestAnIssuersSignalStopsASession(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Policies: leadsRevoke})
	session := *copilot
	session.Session = "s-1"
	other := session
	other.Session = "s-2"
	err := rig.Signal(t.Context(), denylist.Entry{Kind: denylist.Session, Issuer: session.Issuer, Value: "s-1", Reason: "logged out", Until: time.Now().Add(time.Hour)}, "logout")
	if err != nil {
		t.Fatal(err)
	}
	if r := rig.Denied(&session); r == nil || r.Barred {
		t.Errorf("the session is %+v", r)
	}
	if rig.Denied(&other) != nil {
		t.Error("another session ended too")
	}
	if got := control[audit.Revocation](t, rig, audit.CallerRevoked); len(got) != 1 || got[0].Via != "logout" || got[0].By != nil {
		t.Errorf("on record is %+v", got)
	}
	wantKind(t, rig.Signal(t.Context(), denylist.Entry{Kind: denylist.Session, Value: "s-1", Reason: "x"}, "logout"), broker.Invalid)
}

func TestTheRevokedAtTheDoorAreOnRecordBoundedly(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Policies: leadsRevoke})
	made := revoke(t, rig, agent("copilot"))
	for range 1000 {
		rig.Reject(t.Context(), rig.Denied(copilot))
	}
	rig.Stop()
	again, _ := start(t, brokertest.Options{Dir: rig.Dir, Policies: leadsRevoke})
	got := control[audit.Rejection](t, again, audit.TokenRejected)
	var n int64
	for _, r := range got {
		n += r.Count
		if r.Revocation != made.ID || r.Identity == nil || r.Identity.Principal != "alice" || r.Kind != "revoked" {
			t.Errorf("recorded is %+v", r)
		}
	}
	if n != 1000 || len(got) > 2 {
		t.Errorf("%d rejections in %d events", n, len(got))
	}
}
