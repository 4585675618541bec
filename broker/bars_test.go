package broker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// dies is an upstream whose tool goes away in the middle of its first calls.
func dies(t *testing.T, dir string, times int, annotations string) (*brokertest.Rig, *toolstest.Fake) {
	t.Helper()
	fake := toolstest.NewFake()
	definition := toolstest.Define("pay", `{"amount":{"type":"integer"}}`)
	if annotations != "" {
		definition = []byte(strings.TrimSuffix(string(definition), "}") + `,"annotations":` + annotations + `}`)
	}
	fake.Handle(definition, func(context.Context, tools.Call) (tools.Answer, error) {
		if times--; times >= 0 {
			return tools.Answer{}, tools.ErrUncertain
		}
		return toolstest.Text("paid"), nil
	})
	return brokertest.Start(t, brokertest.Options{
		Dir: dir, Policies: policies, HoldWait: 10 * time.Millisecond, Upstreams: map[string]tools.Upstream{"desk": fake},
	}), fake
}

func TestAnUnknownOutcomeBarsTheSameEffect(t *testing.T) {
	t.Parallel()
	for _, happened := range []bool{true, false} {
		dir := t.TempDir()
		rig, _ := dies(t, dir, 1, "")
		pay := under("k", call(copilot, "desk.pay", `{"amount":1}`))
		_, err := rig.Call(t.Context(), pay)
		lost := refusal(t, err, broker.OutcomeUnknown)
		_, err = rig.Call(t.Context(), pay) // under its key it is that call
		if e := refusal(t, err, broker.OutcomeUnknown); e.CallID != lost.CallID {
			t.Errorf("the repeat is call %s", e.CallID)
		}
		barred := map[string]broker.Request{
			"without its key":      call(copilot, "desk.pay", `{"amount":1}`),
			"under another key":    under("l", call(copilot, "desk.pay", `{ "amount": 1 }`)),
			"through other agents": call(brokertest.Through(alice, "copilot", "copilot"), "desk.pay", `{"amount":1}`),
		}
		refused := func(when string) {
			t.Helper()
			for name, r := range barred {
				_, err := rig.Call(t.Context(), r)
				e := refusal(t, err, broker.Conflict)
				if !strings.Contains(e.Public, "deed reconcile "+lost.CallID) {
					t.Errorf("%s, %s: told %q", when, name, e.Public)
				}
				if out := denialOf(t, rig, e.CallID); out.Code != audit.CodeUnreconciled {
					t.Errorf("%s, %s: refused as %s", when, name, out.Code)
				}
			}
		}
		refused("at once")
		for name, r := range map[string]broker.Request{
			"another amount": call(copilot, "desk.pay", `{"amount":2}`),
			"another person": call(brokertest.Through(brokertest.Person("ann", "support"), "copilot"), "desk.pay", `{"amount":1}`),
		} {
			if reply := done(t, rig, r); !strings.Contains(string(reply.Answer.Raw), "paid") {
				t.Errorf("%s: answers %s", name, reply.Answer.Raw)
			}
		}
		rig.Stop()
		rig, fake := dies(t, dir, 0, "")
		refused("after a restart")
		if n := len(fake.Calls()); n != 0 {
			t.Errorf("it ran %d times", n)
		}
		if err := rig.Reconcile(t.Context(), bob, fold(t, rig, lost.CallID), happened, "looked"); err != nil {
			t.Fatal(err)
		}
		if reply := done(t, rig, call(copilot, "desk.pay", `{"amount":1}`)); !strings.Contains(string(reply.Answer.Raw), "paid") {
			t.Errorf("once reconciled it answers %s", reply.Answer.Raw)
		}
		reply, err := rig.Call(t.Context(), pay)
		if happened {
			if e := refusal(t, err, broker.OutcomeUnknown); !strings.Contains(e.Public, "did act") {
				t.Errorf("under its key it is told %q", e.Public)
			}
		} else if err != nil || reply.CallID == lost.CallID {
			t.Errorf("the key of what did not happen: %+v, %v", reply, err)
		}
		rig.Stop()
		rig, _ = dies(t, dir, 0, "")
		done(t, rig, call(copilot, "desk.pay", `{"amount":1}`))
	}
}

// payloads are arguments that are read by a function; there are no others.
type payloads func(context.Context) (audit.Payload, error)

func (p payloads) Payload(ctx context.Context, _ audit.Position, name string) (audit.Payload, error) {
	if name != audit.PayloadArguments {
		return audit.Payload{}, audit.ErrErased
	}
	return p(ctx)
}

// diesThen has a call's outcome become unknown, and starts the broker anew with a log whose
// payloads are read otherwise.
func diesThen(t *testing.T, read payloads) *brokertest.Rig {
	t.Helper()
	dir := t.TempDir()
	rig, _ := dies(t, dir, 1, "")
	_, err := rig.Call(t.Context(), call(copilot, "desk.pay", `{"amount":1}`))
	wantKind(t, err, broker.OutcomeUnknown)
	rig.Stop()
	fake := toolstest.NewFake()
	fake.Handle(toolstest.Define("pay", `{"amount":{"type":"integer"}}`), func(context.Context, tools.Call) (tools.Answer, error) {
		return toolstest.Text("paid"), nil
	})
	return brokertest.Start(t, brokertest.Options{
		Dir: dir, Policies: policies, Upstreams: map[string]tools.Upstream{"desk": fake}, Payloads: read, AckWait: time.Second,
	})
}

// A call whose arguments never came to be stored was not acknowledged, and so did not run.
func TestWhatWasNotAcknowledgedBarsNothing(t *testing.T) {
	t.Parallel()
	rig := diesThen(t, func(context.Context) (audit.Payload, error) { return audit.Payload{}, audit.ErrLost })
	done(t, rig, call(copilot, "desk.pay", `{"amount":1}`))
}

// While the log does not answer with what an earlier call had been made with, a call is
// refused, and does not wait for ever.
func TestWhatCannotBeReadIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	rig := diesThen(t, func(ctx context.Context) (audit.Payload, error) {
		asked.Add(1)
		<-ctx.Done()
		return audit.Payload{}, ctx.Err()
	})
	before := asked.Load()
	for range 3 { // and the log is not asked for each
		_, err := rig.Call(t.Context(), call(copilot, "desk.pay", `{"amount":1}`))
		wantKind(t, err, broker.LogUnavailable)
	}
	if n := asked.Load() - before; n >= 3 {
		t.Errorf("the log was asked %d times, want once in seconds", n)
	}
}

func TestToolsThatRepeatSafelyAreNotBarred(t *testing.T) {
	t.Parallel()
	for _, hint := range []string{`{"idempotentHint":true}`, `{"readOnlyHint":true}`} {
		rig, _ := dies(t, "", 1, hint)
		_, err := rig.Call(t.Context(), call(copilot, "desk.pay", `{"amount":1}`))
		wantKind(t, err, broker.OutcomeUnknown)
		done(t, rig, call(copilot, "desk.pay", `{"amount":1}`))
	}
}

// A call that was held when another one's outcome became unknown does not run either.
func TestAHeldCallIsBarredToo(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	first, second := held(t, rig, "ask"), under("second", echo("ask"))
	reply, err := rig.Call(t.Context(), second)
	if err != nil || reply.Pending == nil || reply.CallID == first.ID {
		t.Fatal(reply, err)
	}
	fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), func(context.Context, tools.Call) (tools.Answer, error) {
		return tools.Answer{}, tools.ErrUncertain
	})
	approve(t, rig, bob, first)
	_, err = outcome(t, rig, first.ID)
	wantKind(t, err, broker.OutcomeUnknown)
	h, err := rig.Held(t.Context(), bob, reply.CallID)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h)
	_, err = outcome(t, rig, h.ID)
	if e := refusal(t, err, broker.Lapsed); !strings.Contains(e.Public, first.ID) {
		t.Errorf("it ends as %v", e)
	}
}

// A replica that takes over from one that died bars what that one was doing.
func TestWhatADeadReplicaWasDoingIsBarred(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.join(t, "a", brokertest.Options{}), c.join(t, "b", brokertest.Options{})
	started := make(chan struct{})
	go func() {
		close(started)
		_, _ = a.Call(context.WithoutCancel(t.Context()), echo("slow")) // its replica dies
	}()
	<-started
	until(t, "the call runs", func() bool { return c.ran.total() == 1 })
	a.kill(t)
	close(c.gate)
	until(t, "it is barred", func() bool {
		_, err := b.Call(t.Context(), echo("slow"))
		return err != nil && broker.AsError(err).Kind == broker.Conflict
	})
}
