package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// BenchmarkThousandHolds is what it costs to list a thousand calls that wait for people:
// as cards with all that is decided on, and as counts.
func BenchmarkThousandHolds(b *testing.B) {
	const holds = 1000
	rig := brokertest.Start(b, brokertest.Options{
		HoldWait: time.Millisecond, MaxHoldsPerCaller: holds, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()},
		Policies: `
permit (principal, action in Action::"desk", resource);
@approvers("lead") @expires("1h") forbid (principal, action == Action::"desk.echo", resource) unless { context.approvals.count >= 2 };
permit (principal in Role::"lead", action in [Action::"approve", Action::"read"], resource);`,
	})
	who := brokertest.Through(brokertest.Person("alice", "support"), "copilot")
	for n := range holds {
		args := fmt.Appendf(nil, `{"text":"number %d"}`, n)
		if _, err := rig.Call(b.Context(), broker.Request{Identity: who, Tool: "desk.echo", Arguments: args, NoWait: true, Justification: "because"}); err != nil {
			b.Fatal(err)
		}
	}
	bob := brokertest.Person("bob", "lead")
	b.Run("cards", func(b *testing.B) {
		for b.Loop() {
			if got := rig.Pending(b.Context(), bob); len(got) != holds || got[0].Quorum != 2 {
				b.Fatalf("%d calls", len(got))
			}
		}
	})
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			if got := rig.Waiting(bob); len(got) != holds {
				b.Fatalf("%d calls", len(got))
			}
		}
	})
}
