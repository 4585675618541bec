package broker_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/hindsight"
)

const together = `
permit (principal, action, resource);
@id("late") @recent("echoed: count desk.echo by principal in 24h")
forbid (principal, action == Action::"desk.echo", resource) when { context.input.text like "after*" && context.recent.echoed < 1 };
@id("budget") forbid (principal, action == Action::"desk.echo", resource) when { context.recent.echoed >= 30 };`

// TestReplicasCountEachOthersCalls, whatever a client calls itself; and what each decided by can be
// counted again in the log.
func TestReplicasCountEachOthersCalls(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.policies = together
	a, b := c.join(t, "a", brokertest.Options{}), c.join(t, "b", brokertest.Options{})
	first := echo("first")
	first.Client = "hold" // as stands in the intents of held calls
	if _, err := a.Call(t.Context(), echo("after nothing")); broker.AsError(err).Kind != broker.Denied {
		t.Fatalf("before anything was echoed: %v", err)
	}
	if _, err := a.Call(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	n := 0
	until(t, "the other replica has counted it", func() bool {
		n++
		_, err := b.Call(t.Context(), echo(fmt.Sprintf("after %d", n)))
		return err == nil
	})
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() { _, _ = []*member{a, b}[n%2].Call(t.Context(), echo(fmt.Sprint("one of many ", n))) })
	}
	all.Wait()
	until(t, "the budget is used up for both", func() bool {
		n++
		_, atA := a.Call(t.Context(), echo(fmt.Sprint("at a ", n)))
		_, atB := b.Call(t.Context(), echo(fmt.Sprint("at b ", n)))
		return atA != nil && atB != nil && broker.AsError(atA).Kind == broker.Denied && broker.AsError(atB).Kind == broker.Denied
	})
	got, err := hindsight.Recount(t.Context(), c.log)
	if err != nil || got.Decisions < 44 || len(got.Wrong) > 0 || got.Unjudged > 0 {
		t.Errorf("counted again: %+v, %v", got, err)
	}
}
