package broker_test

import (
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

// TestARevocationReachesEveryReplica: of several brokers on one log, each refuses what one
// was told to revoke, and says how soon.
func TestARevocationReachesEveryReplica(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.policies = leadsRevoke
	members := []*member{c.join(t, "one", brokertest.Options{}), c.join(t, "two", brokertest.Options{}), c.join(t, "three", brokertest.Options{})}
	waiting := make([]string, len(members))
	for i, m := range members { // a held call at each
		reply, err := m.Call(t.Context(), echo("ask "+string(rune(97+i))))
		if err != nil || reply.Pending == nil {
			t.Fatalf("not held: %+v, %v", reply, err)
		}
		waiting[i] = reply.CallID
	}
	begun := time.Now()
	if _, err := members[0].Revoke(t.Context(), bob, denylist.Entry{Kind: denylist.Agent, Value: "copilot", Reason: "it went wild"}); err != nil {
		t.Fatal(err)
	}
	last := make([]time.Duration, len(members))
	var all sync.WaitGroup
	for i, m := range members {
		all.Go(func() {
			for { // the call that is refused first
				changed := m.Changed()
				if m.Denied(copilot) != nil {
					break
				}
				<-changed
			}
			last[i] = time.Since(begun)
		})
	}
	all.Wait()
	t.Logf("refused at every replica after %v", last)
	for _, m := range members {
		_, err := m.Call(t.Context(), echo("again"))
		wantKind(t, err, broker.Denied)
	}
	for i, id := range waiting {
		if got := closed(t, members[i].Rig, id); got.Closing.Type != audit.CallCancelled || got.Outcome.Code != audit.CodeRevokedUnrun {
			t.Errorf("the call held at replica %d ended as %s, %s", i, got.Closing.Type, got.Outcome.Code)
		}
	}
}
