package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/ongoing"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// tasking is an upstream that makes a task of each call, and can be asked about it.
type tasking struct {
	*toolstest.Fake
	began chan struct{}                               // told of each task
	end   func(context.Context) (tools.Answer, error) // of a task that is followed
}

var _ tools.Follower = tasking{}

func (u tasking) Follow(ctx context.Context, _ tools.Call, task json.RawMessage) (tools.Answer, error) {
	if string(task) != `"t-1"` {
		return tools.Answer{}, fmt.Errorf("%w: there is no task %s", tools.ErrUncertain, task)
	}
	return u.end(ctx)
}

// working starts a broker whose desk makes a task of each call, which ends as end says once it is followed.
func working(t *testing.T, dir string, end func(context.Context) (tools.Answer, error)) (*brokertest.Rig, tasking) {
	t.Helper()
	kept, err := ongoing.Open(dir + "/tasks")
	if err != nil {
		t.Fatal(err)
	}
	u := tasking{toolstest.NewFake(), make(chan struct{}, 8), end}
	u.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), func(ctx context.Context, c tools.Call) (tools.Answer, error) {
		c.Began(json.RawMessage(`"t-1"`))
		u.began <- struct{}{}
		<-ctx.Done()
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
	})
	return brokertest.Start(t, brokertest.Options{
		Dir: dir, Policies: leadsRevoke, HoldWait: 10 * time.Millisecond, Upstreams: map[string]tools.Upstream{"desk": u}, Tasks: kept, Grace: time.Millisecond,
	}), u
}

// left makes a call that is left to the next broker, in dir, and returns its id. If it asks, bob approves it first.
func left(t *testing.T, dir, text string) string {
	t.Helper()
	rig, u := working(t, dir, nil)
	id, done := "", make(chan struct{})
	if strings.HasPrefix(text, "ask") {
		h := held(t, rig, text)
		id = h.ID
		approve(t, rig, bob, h)
		close(done)
	} else {
		go func() {
			defer close(done)
			reply, err := rig.Call(t.Context(), echo(text))
			if err != nil || reply.Pending == nil || !reply.Pending.Released {
				t.Errorf("a call that goes on is answered %+v, %v", reply, err)
				return
			}
			id = reply.CallID
		}()
	}
	<-u.began
	rig.Stop()
	<-done
	return id
}

func TestATaskThatIsLeftIsFollowedByTheNextBroker(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []audit.Type
	}{
		"permitted at once": {"plain", []audit.Type{audit.CallIntent, audit.CallResult}},
		"held":              {"ask a lead", []audit.Type{audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, ended := t.TempDir(), make(chan struct{})
			id := left(t, dir, tt.text)
			rig, u := working(t, dir, func(ctx context.Context) (tools.Answer, error) {
				select {
				case <-ended:
					return toolstest.Text("done meanwhile"), nil
				case <-ctx.Done():
					return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
				}
			})
			wantTypes(t, rig, id, tt.want[:len(tt.want)-1]...)
			if reply, err := rig.Await(t.Context(), copilot, id, nil); err != nil || reply.Pending == nil || !reply.Pending.Released {
				t.Errorf("awaited, it is %+v, %v", reply, err)
			}
			again, err := rig.Call(t.Context(), echo(tt.text))
			if e := broker.AsError(err); tt.text == "plain" && (err == nil || e.Kind != broker.Conflict || !strings.Contains(e.Public, "goes on in its upstream")) {
				t.Errorf("made once more: %v", err)
			} else if tt.text != "plain" && (err != nil || again.CallID != id) {
				t.Errorf("made once more, it is %+v, %v; want the same call", again, err)
			}
			close(ended)
			reply, err := outcome(t, rig, id)
			if err != nil || !strings.Contains(string(reply.Answer.Raw), "done meanwhile") {
				t.Errorf("its outcome is %+v, %v", reply, err)
			}
			wantTypes(t, rig, id, tt.want...)
			if n := len(u.Calls()); n != 0 {
				t.Errorf("the tool ran %d times more", n)
			}
			verified(t, rig.Log, "at the end")
			go func() { <-u.began; rig.Stop() }()
			if reply, err := rig.Call(t.Context(), echo("plain")); err != nil || reply.Pending == nil {
				t.Errorf("nothing bars the same any more, but it is %+v, %v", reply, err)
			}
		})
	}
}

func TestATaskThatIsNotKnownAnyMoreLeavesUnknown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := left(t, dir, "plain")
	rig, _ := working(t, dir, func(context.Context) (tools.Answer, error) {
		return tools.Answer{}, fmt.Errorf("%w: it has forgotten it", tools.ErrUncertain)
	})
	_, err := outcome(t, rig, id)
	wantKind(t, err, broker.OutcomeUnknown)
	wantTypes(t, rig, id, audit.CallIntent, audit.CallUnknown)
	if e := refusal(t, must1(rig.Call(t.Context(), echo("plain"))), broker.Conflict); !strings.Contains(e.Public, "deed reconcile "+id) {
		t.Errorf("the same is refused with %q", e.Public)
	}
	kept, err := ongoing.Open(dir + "/tasks")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "its task is forgotten", func() bool {
		all, err := kept.All()
		return err == nil && len(all) == 0
	})
	verified(t, rig.Log, "at the end")
}

// A caller who is revoked has no task followed to its end: it is told to stop.
func TestATaskOfTheRevokedIsCancelled(t *testing.T) {
	t.Parallel()
	dir, told := t.TempDir(), make(chan error, 1)
	id := left(t, dir, "plain")
	rig, _ := working(t, dir, func(ctx context.Context) (tools.Answer, error) {
		<-ctx.Done()
		told <- context.Cause(ctx)
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
	})
	revoke(t, rig, agent("copilot"))
	if cause := <-told; errors.Is(cause, tools.ErrDetached) || cause == nil {
		t.Errorf("it ends by %v", cause)
	}
	if c := closed(t, rig, id); c.Closing.Type != audit.CallUnknown || c.Outcome.Code != audit.CodeRevokedRunning {
		t.Errorf("it is closed by %s, %s", c.Closing.Type, c.Outcome.Code)
	}
}
