package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// TestLimitsOfAllKinds reaches the limit of each kind: the call is refused with the time after which it may
// come again, nothing is done, and the first refusal is on record.
func TestLimitsOfAllKinds(t *testing.T) {
	t.Parallel()
	one := broker.Limit{PerSecond: .01} // and a burst of one
	for of, l := range map[string]broker.Limits{
		"person": {Principal: one}, "agent": {Agent: one}, "tool": {Tool: one}, "tenant": {Tenant: one},
	} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			rig, fake := start(t, brokertest.Options{Limits: l})
			if _, err := rig.Call(t.Context(), echo("first")); err != nil {
				t.Fatal(err)
			}
			ids := map[string]bool{}
			for range 5 {
				_, err := rig.Call(t.Context(), echo("another"))
				e := broker.AsError(err)
				if err == nil || e.Kind != broker.Overloaded || e.Retry < time.Second || !strings.Contains(e.Public, of) {
					t.Fatalf("beyond the limit: %v", err)
				}
				ids[e.CallID] = true
			}
			if n := len(fake.Calls()); n != 1 {
				t.Errorf("%d calls reached the upstream, want 1", n)
			}
			delete(ids, "")
			if len(ids) != 1 {
				t.Errorf("%d of the refusals are on record, want 1 of 5", len(ids))
			}
			for id := range ids {
				if got := rig.Types(t, id); len(got) != 1 || got[0] != audit.CallDenied {
					t.Errorf("recorded %v", got)
				}
			}
		})
	}
}

func TestCallsAtOnceAreLimited(t *testing.T) {
	t.Parallel()
	fake := toolstest.NewFake()
	begun, end := make(chan struct{}, 2), make(chan struct{})
	fake.Handle(toolstest.Define("wait", `{}`), func(context.Context, tools.Call) (tools.Answer, error) {
		begun <- struct{}{}
		<-end
		return toolstest.Text("done"), nil
	})
	rig := brokertest.Start(t, brokertest.Options{
		Policies: policies, Upstreams: map[string]tools.Upstream{"desk": fake}, Limits: broker.Limits{Tool: broker.Limit{Concurrent: 1}},
	})
	wait := call(copilot, "desk.wait", `{}`)
	done := make(chan error, 1)
	go func() {
		_, err := rig.Call(t.Context(), wait)
		done <- err
	}()
	<-begun
	if _, err := rig.Call(t.Context(), wait); err == nil || broker.AsError(err).Kind != broker.Overloaded {
		t.Errorf("a second at once: %v", err)
	}
	if _, err := rig.Call(t.Context(), echo("another tool")); err != nil {
		t.Errorf("another tool: %v", err)
	}
	close(end)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := rig.Call(t.Context(), wait); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}
