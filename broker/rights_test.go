package broker_test

import (
	"fmt"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker/brokertest"
)

// What a listing says that somebody may do about each call is what is said of that call alone,
// also where a policy names one of several that are alike.
func TestAListingSaysOfEachCallWhatIsSaidOfItAlone(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{})
	var ids []string
	for n := range 4 {
		reply, err := rig.Call(t.Context(), echo(fmt.Sprintf("ask number %d", n)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, reply.CallID)
	}
	for name, more := range map[string]string{
		"as they are":   "",
		"not that one":  `forbid (principal, action == Action::"approve", resource == Call::"` + ids[2] + `");`,
		"hidden, alike": `forbid (principal, action == Action::"read", resource) when { resource == Call::"` + ids[1] + `" && context.tier == Tier::"arguments" };`,
	} {
		if _, err := rig.Activate(t.Context(), brokertest.Files(policies+more)); err != nil {
			t.Fatal(err)
		}
		for _, who := range []*agents.Identity{bob, dave, alice, carol, copilot} {
			list, seen := rig.Pending(t.Context(), who), 0
			for _, id := range ids {
				alone, err := rig.Held(t.Context(), who, id)
				if err != nil {
					continue
				}
				seen++
				for _, h := range list {
					if h.ID == id && (h.MayVote != alone.MayVote || h.Reads != alone.Reads || h.WhyNot != alone.WhyNot || string(h.Arguments) != string(alone.Arguments)) {
						t.Errorf("%s, %s: listed %t %s %q, alone %t %s %q", name, who.Principal, h.MayVote, h.Reads, h.WhyNot, alone.MayVote, alone.Reads, alone.WhyNot)
					}
				}
			}
			if len(list) != seen || len(rig.Waiting(who)) != seen {
				t.Errorf("%s, %s: %d listed, %d counted, %d seen alone", name, who.Principal, len(list), len(rig.Waiting(who)), seen)
			}
		}
		if h, err := rig.Held(t.Context(), bob, ids[2]); err != nil || h.MayVote != (name != "not that one") {
			t.Errorf("%s: bob may vote: %t, %v", name, h.MayVote, err)
		}
	}
}
