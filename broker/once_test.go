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
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// under is a request with an idempotency key.
func under(key string, r broker.Request) broker.Request {
	r.IdempotencyKey = key
	return r
}

// denialOf is the outcome of a call that was refused.
func denialOf(t *testing.T, rig *brokertest.Rig, callID string) audit.Outcome {
	t.Helper()
	events := rig.Events(t, callID)
	if len(events) != 1 || events[0].Type != audit.CallDenied {
		t.Fatalf("events of the refused call are %+v", events)
	}
	out, err := audit.DataOf[audit.Outcome](events[0])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func done(t *testing.T, rig *brokertest.Rig, r broker.Request) *broker.Reply {
	t.Helper()
	reply, err := rig.Call(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for reply.Pending != nil {
		if reply, err = rig.Call(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return reply
}

func TestAKeyMeansOneCall(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	first := done(t, rig, under("k1", echo("hello")))
	if first.Repeated {
		t.Error("the first call is a repeat")
	}
	for range 3 {
		again := done(t, rig, under("k1", echo("hello")))
		if again.CallID != first.CallID || !again.Repeated || string(again.Answer.Raw) != string(first.Answer.Raw) {
			t.Errorf("the repeat is call %s and answers %s", again.CallID, again.Answer.Raw)
		}
	}
	_, err := rig.Call(t.Context(), under("k1", echo("something else")))
	e := refusal(t, err, broker.Conflict)
	if out := denialOf(t, rig, e.CallID); out.Code != audit.CodeKeyReused || !strings.Contains(out.Reason, first.CallID) {
		t.Errorf("refused as %s: %s", out.Code, out.Reason)
	}
	others := map[string]broker.Request{
		"no key": echo("hello"), "another key": under("k2", echo("hello")),
		"another agent":  under("k1", call(brokertest.Through(alice, "copilot", "copilot"), "desk.echo", `{"text":"hello"}`)),
		"another person": under("k1", call(brokertest.Through(brokertest.Person("ann", "support"), "copilot"), "desk.echo", `{"text":"hello"}`)),
	}
	for name, r := range others {
		if got := done(t, rig, r); got.CallID == first.CallID || got.Repeated {
			t.Errorf("%s: it is the same call", name)
		}
	}
	if n := len(fake.Calls()); n != 1+len(others) {
		t.Errorf("the tool ran %d times", n)
	}
}

func TestCallsAtOnceUnderOneKeyAreOne(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{HoldWait: time.Minute})
	running, release := make(chan struct{}, 8), make(chan struct{})
	fake.Handle(toolstest.Define("wait", `{}`), func(ctx context.Context, _ tools.Call) (tools.Answer, error) {
		running <- struct{}{}
		select {
		case <-release:
			return toolstest.Text("done"), nil
		case <-ctx.Done():
			return tools.Answer{}, tools.ErrUncertain
		}
	})
	until(t, "the tool is known", func() bool { _, err := rig.Registry.Lookup("desk.wait"); return err == nil })
	ids := make(chan string, 20)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			reply, err := rig.Call(t.Context(), under("k", call(copilot, "desk.wait", `{}`)))
			if err != nil || reply.Pending != nil {
				t.Errorf("reply is %+v, %v", reply, err)
				return
			}
			ids <- reply.CallID
		})
	}
	<-running
	brief := under("k", call(copilot, "desk.wait", `{}`))
	brief.NoWait = true
	if reply, err := rig.Call(t.Context(), brief); err != nil || reply.Pending == nil || !reply.Pending.Released {
		t.Errorf("a repeat while it runs gets %+v, %v", reply, err)
	}
	close(release)
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("call %s beside %s", id, first)
		}
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
}

func TestAKeyOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rig, _ := start(t, brokertest.Options{Dir: dir})
	first := done(t, rig, under("k", echo("hello")))
	heldOne, err := rig.Call(t.Context(), under("h", echo("ask")))
	if err != nil || heldOne.Pending == nil {
		t.Fatal(heldOne, err)
	}
	rig.Stop()
	rig, fake := start(t, brokertest.Options{Dir: dir})
	if again := done(t, rig, under("k", echo("hello"))); again.CallID != first.CallID || string(again.Answer.Raw) != string(first.Answer.Raw) {
		t.Errorf("after a restart the repeat is call %s and answers %s", again.CallID, again.Answer.Raw)
	}
	_, err = rig.Call(t.Context(), under("k", echo("other")))
	wantKind(t, err, broker.Conflict)
	_, err = rig.Call(t.Context(), under("h", echo("ask something else")))
	wantKind(t, err, broker.Conflict)
	if again, err := rig.Call(t.Context(), under("h", echo("ask"))); err != nil || again.CallID != heldOne.CallID {
		t.Errorf("the repeat of the held call is %+v, %v", again, err)
	}
	h, err := rig.Held(t.Context(), bob, heldOne.CallID)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h)
	for range 2 { // unlike without a key, as often as it is asked for
		if again := done(t, rig, under("h", echo("ask"))); again.CallID != heldOne.CallID {
			t.Errorf("the outcome is that of call %s", again.CallID)
		}
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times after the restart", n)
	}
}

// What had no effect, and was not answered by people, does not use a key up.
func TestAnEndWithoutEffectFreesTheKey(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	_, err := rig.Call(t.Context(), under("k", echo("secret")))
	wantKind(t, err, broker.Denied)
	if got := done(t, rig, under("k", echo("hello"))); got.Repeated {
		t.Error("a refused call used the key up")
	}
	sent := false
	fake.Handle(toolstest.Define("away", `{}`), func(context.Context, tools.Call) (tools.Answer, error) {
		if !sent {
			sent = true
			return tools.Answer{}, tools.ErrNotSent
		}
		return toolstest.Text("done"), nil
	})
	until(t, "the tool is known", func() bool { _, err := rig.Registry.Lookup("desk.away"); return err == nil })
	_, err = rig.Call(t.Context(), under("a", call(copilot, "desk.away", `{}`)))
	away := refusal(t, err, broker.Upstream)
	until(t, "the end is read", func() bool {
		reply, err := rig.Call(t.Context(), under("a", call(copilot, "desk.away", `{}`)))
		return err == nil && reply.CallID != away.CallID
	})
	h, err := rig.Call(t.Context(), under("d", echo("ask")))
	if err != nil {
		t.Fatal(err)
	}
	seen, err := rig.Held(t.Context(), bob, h.CallID)
	if err != nil {
		t.Fatal(err)
	}
	if err := vote(t, rig, bob, seen, audit.Reject, "no"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = rig.Call(t.Context(), under("d", echo("ask")))
		if e := refusal(t, err, broker.Denied); e.CallID != h.CallID {
			t.Errorf("a person's denial was forgotten: %v", e)
		}
	}
}

func TestEqualArgumentsWithinAWindowAreOneCall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	options := brokertest.Options{Dir: dir, Once: map[string]broker.Once{"desk.*": {Within: time.Hour}}}
	rig, _ := start(t, options)
	first := done(t, rig, echo("hello"))
	if again := done(t, rig, echo("hello")); again.CallID != first.CallID || !again.Repeated {
		t.Error("the same arguments made another call")
	}
	if other := done(t, rig, echo("other")); other.Repeated {
		t.Error("other arguments made no call")
	}
	rig.Stop()
	rig, fake := start(t, options)
	if again := done(t, rig, echo("hello")); again.CallID != first.CallID {
		t.Error("the window did not outlive a restart")
	}
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("the tool ran %d times after the restart", n)
	}
	rig.Stop()
	options.Once = map[string]broker.Once{"desk.echo": {Within: time.Nanosecond}}
	rig, _ = start(t, options)
	if again := done(t, rig, echo("hello")); again.Repeated {
		t.Error("the window does not end")
	}
}

func TestKeysReachTheFieldOfTheTool(t *testing.T) {
	t.Parallel()
	fake := toolstest.NewFake()
	fake.Handle(toolstest.Define("pay", `{"amount":{"type":"integer"},"key":{"type":"string"}}`), func(_ context.Context, c tools.Call) (tools.Answer, error) {
		return toolstest.Text(string(c.Arguments)), nil
	})
	rig := brokertest.Start(t, brokertest.Options{
		Policies: policies, Upstreams: map[string]tools.Upstream{"desk": fake}, HoldWait: 10 * time.Millisecond,
		Once: map[string]broker.Once{"desk.pay": {Field: "key"}},
	})
	told := map[string]bool{}
	for _, who := range []*agents.Identity{copilot, brokertest.Through(brokertest.Person("ann", "support"), "copilot")} {
		for _, key := range []string{"1", "2"} {
			reply := done(t, rig, under(key, call(who, "desk.pay", `{"amount":1}`)))
			ran := fake.Calls()[len(fake.Calls())-1]
			var args struct {
				Key string `json:"key"`
			}
			if err := json.Unmarshal(ran.Arguments, &args); err != nil || len(args.Key) != 36 || told[args.Key] || ran.IdempotencyKey != args.Key {
				t.Errorf("the upstream is told %s and %q", ran.Arguments, ran.IdempotencyKey)
			}
			told[args.Key] = true
			if p, err := rig.Log.Payload(t.Context(), rig.At(t, reply.CallID), audit.PayloadArguments); err != nil || string(p.Body) != string(ran.Arguments) {
				t.Errorf("on record is %s, %v; it ran with %s", p.Body, err, ran.Arguments)
			}
		}
	}
	own := call(copilot, "desk.pay", `{"amount":1,"key":"mine"}`)
	if first, again := done(t, rig, own), done(t, rig, own); first.CallID != again.CallID {
		t.Error("the tool's own field is no key")
	}
	_, err := rig.Call(t.Context(), call(copilot, "desk.pay", `{"amount":2,"key":"mine"}`))
	wantKind(t, err, broker.Conflict)
}

// Of requests under one key at several replicas at the same time one runs.
func TestOneKeyAtManyReplicasRunsOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	members := []*member{c.join(t, "a", brokertest.Options{}), c.join(t, "b", brokertest.Options{}), c.join(t, "x", brokertest.Options{})}
	for round := range 40 {
		request := under(fmt.Sprint("k", round), echo(fmt.Sprint("round ", round)))
		var wg sync.WaitGroup
		for _, m := range members {
			wg.Go(func() {
				for {
					reply, err := m.Call(t.Context(), request)
					if err == nil && reply.Pending == nil {
						return
					}
					if err != nil && broker.AsError(err).Kind != broker.Lapsed && broker.AsError(err).Kind != broker.LogUnavailable {
						t.Errorf("round %d: %v", round, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := c.ran.total(); n != round+1 {
			t.Fatalf("after %d rounds the tool has run %d times", round+1, n)
		}
	}
	verified(t, c.log, "at the end")
}

func (r *runs) total() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.times {
		n += times
	}
	return n
}
