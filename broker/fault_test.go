package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// store lets a log that is wrapped for a broker be wrapped by package audittest.
type store struct {
	audit.Log
	audit.Payloads
}

// faulty runs a broker over a log that goes wrong on demand.
func faulty(t *testing.T, o brokertest.Options) (*brokertest.Rig, *toolstest.Fake, *audittest.Faulty) {
	t.Helper()
	var log *audittest.Faulty
	o.Wrap = func(l audit.Log) audit.Log {
		log = audittest.NewFaulty(store{Log: l})
		return log
	}
	rig, fake := start(t, o)
	return rig, fake, log
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestNoAckNoAct(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]audittest.Fault{
		"refused":             {Refuse: audit.ErrUnavailable},
		"full":                {Refuse: audit.ErrFull},
		"never taken":         {Hold: make(chan struct{})},
		"acknowledged never":  {HoldAck: make(chan struct{})},
		"acknowledgment lost": {LoseAck: audit.ErrUncertain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{"plain", "ask"} {
				rig, fake, log := faulty(t, brokertest.Options{AckWait: time.Second})
				fault.When = audittest.OfType(audit.CallIntent)
				remove := log.Inject(fault)
				_, err := rig.Call(t.Context(), echo(text))
				e := refusal(t, err, broker.LogUnavailable)
				remove()
				stored := fault.HoldAck != nil || fault.LoseAck != nil
				if stored {
					until(t, "the late call is cancelled", func() bool {
						types := rig.Types(t, e.CallID)
						return types[len(types)-1] == audit.CallCancelled
					})
					wantTypes(t, rig, e.CallID, audit.CallIntent, audit.CallCancelled)
				} else {
					wantTypes(t, rig, e.CallID)
				}
				if len(fake.Calls()) != 0 {
					t.Errorf("%s: the tool ran", text)
				}
				until(t, "nothing is pending", func() bool { return len(rig.Pending(t.Context(), bob)) == 0 })
			}
		})
	}
}

func TestAnOutcomeThatCannotBeRecordedIsUnknownAndWrittenLater(t *testing.T) {
	t.Parallel()
	rig, fake, log := faulty(t, brokertest.Options{AckWait: time.Second})
	remove := log.Inject(audittest.Fault{When: audittest.OfType(audit.CallResult), Refuse: audit.ErrUnavailable})
	_, err := rig.Call(t.Context(), echo("plain"))
	e := refusal(t, err, broker.OutcomeUnknown)
	wantTypes(t, rig, e.CallID, audit.CallIntent)
	remove()
	until(t, "the call is closed", func() bool { return len(rig.Types(t, e.CallID)) == 2 })
	wantTypes(t, rig, e.CallID, audit.CallIntent, audit.CallResult)
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
}

func TestAnAnswerTooLargeForTheLogIsNotGivenAndTheCallIsClosed(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), func(context.Context, tools.Call) (tools.Answer, error) {
		return tools.Answer{Raw: json.RawMessage(`{"content":[{"type":"text","text":"` + strings.Repeat("x", 9<<20) + `"}]}`)}, nil
	})
	_, err := rig.Call(t.Context(), echo("plain"))
	e := refusal(t, err, broker.Upstream)
	if !strings.Contains(e.Public, "too large") {
		t.Errorf("the agent is told %q", e.Public)
	}
	wantTypes(t, rig, e.CallID, audit.CallIntent, audit.CallResult)
	if c := fold(t, rig, e.CallID); c.Outcome.Output != nil || c.Outcome.Reason == "" {
		t.Errorf("recorded is %+v", c.Outcome)
	}
}

func TestWhatAnUpstreamRefusesWithIsKeptOutOfTheEvent(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), func(context.Context, tools.Call) (tools.Answer, error) {
		return tools.Answer{}, &tools.RPCError{Code: -32000, Message: "no account tim-4711"}
	})
	for _, text := range []string{"plain", "ask"} {
		reply, err := rig.Call(t.Context(), echo(text))
		if err == nil {
			h, herr := rig.Held(t.Context(), bob, reply.CallID)
			if herr != nil {
				t.Fatal(herr)
			}
			approve(t, rig, bob, h)
			_, err = outcome(t, rig, h.ID)
		}
		e := refusal(t, err, broker.Upstream)
		if !strings.Contains(e.Public, "tim-4711") {
			t.Errorf("the agent is told %q", e.Public)
		}
		for _, event := range rig.Events(t, e.CallID) {
			if strings.Contains(string(event.Data), "tim-4711") {
				t.Errorf("event %s quotes the upstream", event.Type)
			}
		}
	}
}

func TestALostReleaseNeverRunsACallThatTheLogCallsCancelled(t *testing.T) {
	t.Parallel()
	rig, fake, log := faulty(t, brokertest.Options{AckWait: time.Second})
	h := held(t, rig, "ask")
	log.Inject(audittest.Fault{When: audittest.OfType(audit.CallReleased), Times: 1, LoseAck: audit.ErrUncertain})
	approve(t, rig, bob, h)
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult)
}

// blind is a log whose follower fails on demand.
type blind struct {
	audit.Log
	fail chan struct{}
}

func (l *blind) Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var failed atomic.Bool
		var watch sync.WaitGroup
		defer watch.Wait()
		watch.Go(func() {
			select {
			case <-l.fail:
				failed.Store(true)
				cancel()
			case <-ctx.Done():
			}
		})
		for rec, err := range l.Log.Follow(ctx, from) {
			if !yield(rec, err) {
				cancel()
				return
			}
		}
		cancel()
		if failed.Load() {
			yield(audit.Record{}, audit.ErrCorrupt)
		}
	}
}

func TestABrokerThatCannotReadItsLogStopsAndReleasesWhoWaits(t *testing.T) {
	t.Parallel()
	log := &blind{fail: make(chan struct{})}
	rig, _ := start(t, brokertest.Options{
		HoldWait: time.Hour, Grace: time.Hour, EndsWith: audit.ErrCorrupt,
		Wrap: func(l audit.Log) audit.Log { log.Log = l; return log },
	})
	waiting := make(chan broker.Pending, 16)
	req := echo("ask")
	req.Waiting = func(p broker.Pending) { waiting <- p }
	var wg sync.WaitGroup
	wg.Go(func() {
		reply, err := rig.Call(t.Context(), req)
		if err != nil || reply.Pending == nil {
			t.Errorf("who waited got %+v, %v", reply, err)
		}
	})
	<-waiting
	close(log.fail)
	wg.Wait()
	rig.Wait()
	_, err := rig.Call(t.Context(), echo("plain"))
	wantKind(t, err, broker.Overloaded)
}

func TestStoppingDoesNotWaitForPeople(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{HoldWait: time.Hour, Grace: time.Hour})
	waiting := make(chan broker.Pending, 16)
	req := echo("ask")
	req.Waiting = func(p broker.Pending) { waiting <- p }
	var wg sync.WaitGroup
	wg.Go(func() {
		if reply, err := rig.Call(t.Context(), req); err != nil || reply.Pending == nil {
			t.Errorf("who waited got %+v, %v", reply, err)
		}
	})
	<-waiting
	rig.Stop()
	wg.Wait()
}

func TestNobodyUnknownReachesTheLog(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	before := records(t, rig)
	expired := *copilot
	expired.Expires = time.Now().Add(-time.Hour)
	expiredBob := *bob
	expiredBob.Expires = expired.Expires
	for name, id := range map[string]*agents.Identity{
		"none": nil, "empty": {}, "nobody": {Issuer: alice.Issuer, Expires: alice.Expires}, "expired": &expired, "expired approver": &expiredBob,
	} {
		req := echo("plain")
		req.Identity = id
		_, err := rig.Call(t.Context(), req)
		wantKind(t, err, broker.Denied)
		_, err = rig.Await(t.Context(), id, h.ID, nil)
		wantKind(t, err, broker.Denied)
		_, err = rig.Cancel(t.Context(), id, h.ID, "")
		wantKind(t, err, broker.Denied)
		if err := vote(t, rig, id, h, audit.Approve, ""); broker.AsError(err).Kind != broker.Denied {
			t.Errorf("%s: vote: %v", name, err)
		}
	}
	if after := records(t, rig); after != before {
		t.Errorf("%d records were written about nobody", after-before)
	}
	if len(fake.Calls()) != 0 {
		t.Error("the tool ran")
	}
}

func records(t *testing.T, rig *brokertest.Rig) int {
	t.Helper()
	all, err := audittest.All(t.Context(), rig.Log)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestAnApprovalThatDoesNotStandAnyMoreDoesNotCount(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	h := held(t, rig, "ask two")
	approve(t, rig, bob, h)
	if _, err := rig.Activate(t.Context(), brokertest.Files(policies+`@id("not-bob") forbid (principal == User::"bob", action == Action::"approve", resource);`)); err != nil {
		t.Fatal(err)
	}
	_, err := outcome(t, rig, h.ID)
	if e := refusal(t, err, broker.Lapsed); !strings.Contains(e.Public, "bob") {
		t.Errorf("the agent is told %q", e.Public)
	}
	wantTypes(t, rig, h.ID, audit.CallIntent, audit.CallApproval, audit.CallCancelled)
	if len(fake.Calls()) != 0 {
		t.Error("the tool ran")
	}
}

func TestPoliciesThatAreNotOnRecordAreNotInForce(t *testing.T) {
	t.Parallel()
	rig, _, log := faulty(t, brokertest.Options{})
	log.Inject(audittest.Fault{When: audittest.OfType(audit.PolicyActivated), Times: 1, Refuse: audit.ErrUnavailable})
	before := rig.Policies.Set().Digest()
	more := brokertest.Files(policies + `forbid (principal, action == Action::"desk.echo", resource);`)
	if _, err := rig.Activate(t.Context(), more); !errors.Is(err, audit.ErrUnavailable) {
		t.Fatalf("error is %v", err)
	}
	if rig.Policies.Set().Digest() != before {
		t.Error("a policy set is in force that is not on record")
	}
	if _, err := rig.Activate(t.Context(), more); err != nil || rig.Policies.Set().Digest() == before {
		t.Errorf("activated again: %v", err)
	}
}

func TestRoomForHoldsIsGivenBack(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{MaxHoldsPerCaller: 1})
	for range 3 {
		h := held(t, rig, "ask")
		_, err := rig.Call(t.Context(), echo("ask more"))
		wantKind(t, err, broker.Overloaded)
		if _, err := rig.Cancel(t.Context(), copilot, h.ID, ""); err != nil {
			t.Fatal(err)
		}
		_, err = rig.Cancel(t.Context(), copilot, h.ID, "")
		wantKind(t, err, broker.Conflict)
		_, err = outcome(t, rig, h.ID)
		wantKind(t, err, broker.Lapsed)
	}
}

func TestALateDenialIsToldSoAndAnEarlyOneMayBeRepeated(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	h := held(t, rig, "ask")
	approve(t, rig, bob, h)
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h) // it counted, whatever came of the call
	wantKind(t, vote(t, rig, dave, h, audit.Reject, "no"), broker.Conflict)

	h = held(t, rig, "ask 2")
	for range 2 {
		if err := vote(t, rig, dave, h, audit.Reject, "no"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAHeldCallRunsInTheTraceOfItsCaller(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	rig, fake := start(t, brokertest.Options{})
	req := echo("ask")
	req.TraceParent = "00-" + trace + "-00f067aa0ba902b7-01"
	reply, err := rig.Call(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	h, err := rig.Held(t.Context(), bob, reply.CallID)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h)
	if _, err := outcome(t, rig, h.ID); err != nil {
		t.Fatal(err)
	}
	for _, e := range rig.Events(t, h.ID) {
		if !strings.Contains(e.TraceParent, trace) {
			t.Errorf("%s is in the trace %q", e.Type, e.TraceParent)
		}
	}
	for _, c := range fake.Calls() {
		if !strings.Contains(c.TraceParent, trace) {
			t.Errorf("the tool ran in the trace %q", c.TraceParent)
		}
	}
}
