package broker_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// begin makes a call as a task, and gives its id once it can be found.
func begin(t *testing.T, rig *brokertest.Rig, r broker.Request, ttl time.Duration) string {
	t.Helper()
	begun := make(chan string, 1)
	r.TaskUntil, r.NoWait, r.Begun = time.Now().Add(ttl), true, func(id string) { begun <- id }
	over := make(chan error, 1)
	go func() {
		_, err := rig.Call(context.WithoutCancel(t.Context()), r)
		over <- err
	}()
	return <-begun
}

func task(t *testing.T, rig *brokertest.Rig, who *agents.Identity, id string) broker.Task {
	t.Helper()
	task, err := rig.Task(t.Context(), who, id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func ended(t *testing.T, rig *brokertest.Rig, id string, as audit.Type) {
	t.Helper()
	until(t, "the task ends", func() bool { return task(t, rig, copilot, id).Ended != "" })
	if got := task(t, rig, copilot, id); got.Ended != as {
		t.Errorf("the task ends as %+v, want %s", got, as)
	}
}

func TestATaskIsACallOfItsCallerAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rig, _ := start(t, brokertest.Options{Dir: dir})
	quick, waits := begin(t, rig, echo("hello"), time.Hour), begin(t, rig, echo("ask"), time.Hour)
	ended(t, rig, quick, audit.CallResult)
	if got := task(t, rig, copilot, waits); got.Pending == nil || got.Pending.Released || got.Until.Sub(got.Made) > time.Hour {
		t.Errorf("the held task is %+v", got)
	}
	for name, who := range map[string]*agents.Identity{"its person": alice, "another chain": brokertest.Through(alice, "copilot", "copilot"), "another person": brokertest.Through(bob, "copilot")} {
		if _, err := rig.Task(t.Context(), who, waits); broker.AsError(err).Kind != broker.NotFound {
			t.Errorf("%s sees it: %v", name, err)
		}
		if _, err := rig.CancelTask(t.Context(), who, waits); broker.AsError(err).Kind != broker.NotFound {
			t.Errorf("%s cancels it: %v", name, err)
		}
		if list, _, err := rig.Tasks(t.Context(), who, "", 10); err != nil || len(list) != 0 {
			t.Errorf("%s lists %v, %v", name, list, err)
		}
	}
	rig.Stop()
	rig, fake := start(t, brokertest.Options{Dir: dir})
	ended(t, rig, quick, audit.CallResult)
	h, err := rig.Held(t.Context(), bob, waits)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, rig, bob, h)
	ended(t, rig, waits, audit.CallResult)
	if reply, err := rig.Await(t.Context(), copilot, waits, nil); err != nil || !strings.Contains(string(reply.Answer.Raw), "ask") {
		t.Errorf("its outcome is %+v, %v", reply, err)
	}
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times after the restart", n)
	}
	first, next, err := rig.Tasks(t.Context(), copilot, "", 1)
	if err != nil || len(first) != 1 || first[0].CallID != waits || next != waits {
		t.Fatalf("the first page is %+v, %q, %v", first, next, err)
	}
	if last, next, err := rig.Tasks(t.Context(), copilot, next, 1); err != nil || len(last) != 1 || last[0].CallID != quick || next != "" {
		t.Errorf("the last page is %+v, %q, %v", last, next, err)
	}
}

func TestATaskHasItsTime(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	id := begin(t, rig, echo("ask"), 300*time.Millisecond)
	until(t, "its time is over", func() bool {
		_, err := rig.Task(t.Context(), copilot, id)
		return err != nil && broker.AsError(err).Kind == broker.NotFound
	})
	if list, _, err := rig.Tasks(t.Context(), copilot, "", 10); err != nil || len(list) != 0 {
		t.Errorf("listed are %v, %v", list, err)
	}
	if _, err := rig.Held(t.Context(), bob, id); err != nil { // the call is none the wiser
		t.Error(err)
	}
	if _, err := rig.Task(t.Context(), copilot, "none"); broker.AsError(err).Kind != broker.NotFound {
		t.Errorf("a task that never was: %v", err)
	}
}

func TestCancellingATaskCancelsItsCall(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	running := make(chan struct{})
	fake.Handle(toolstest.Define("wait", `{}`), func(ctx context.Context, _ tools.Call) (tools.Answer, error) {
		close(running)
		<-ctx.Done()
		return tools.Answer{}, tools.ErrUncertain
	})
	until(t, "the tool is known", func() bool { _, err := rig.Registry.Lookup("desk.wait"); return err == nil })
	waits, runs := begin(t, rig, echo("ask"), time.Hour), begin(t, rig, call(copilot, "desk.wait", `{}`), time.Hour)
	<-running
	if got, err := rig.CancelTask(t.Context(), copilot, waits); err != nil || got.Ended != audit.CallCancelled {
		t.Errorf("the held one ends as %+v, %v", got, err)
	}
	if got, err := rig.CancelTask(t.Context(), copilot, runs); err != nil || got.Ended != audit.CallUnknown || got.Code != audit.CodeClient {
		t.Errorf("the running one ends as %+v, %v", got, err)
	}
	_, err := rig.CancelTask(t.Context(), copilot, waits)
	wantKind(t, err, broker.Invalid)
}

func TestACallThatIsNotHeldNeedNotBeATask(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	for text, isTask := range map[string]bool{"hello": false, "ask": true} {
		r := echo(text)
		r.TaskUntil, r.TaskIfHeld, r.NoWait = time.Now().Add(time.Hour), true, true
		reply, err := rig.Call(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rig.Task(t.Context(), copilot, reply.CallID); (err == nil) != isTask {
			t.Errorf("%s: %v", text, err)
		}
		in, err := audit.DataOf[audit.Intent](rig.Events(t, reply.CallID)[0])
		if err != nil || in.TaskUntil.IsZero() == isTask {
			t.Errorf("%s: on record is %s, %v", text, in.TaskUntil, err)
		}
	}
	if list, _, err := rig.Tasks(t.Context(), copilot, "", 10); err != nil || len(list) != 1 || !slices.Contains([]string{"desk.echo"}, list[0].Tool) {
		t.Errorf("listed are %+v, %v", list, err)
	}
}

func TestAnyReplicaKnowsATask(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	a, b := c.join(t, "a", brokertest.Options{}), c.join(t, "b", brokertest.Options{})
	id := begin(t, a.Rig, echo("ask me"), time.Hour)
	h := b.waitHeld(t, id)
	until(t, "the other knows the task", func() bool { _, err := b.Task(t.Context(), copilot, id); return err == nil })
	approve(t, a.Rig, bob, h)
	ended(t, b.Rig, id, audit.CallResult)
}
