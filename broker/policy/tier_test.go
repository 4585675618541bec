package policy_test

import (
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/policy"
)

func TestReadingHasTiers(t *testing.T) {
	t.Parallel()
	const plain = `permit (principal in Role::"auditor", action == Action::"read", resource);`
	for name, tt := range map[string]struct {
		policies string
		want     policy.Tier
	}{
		"nothing without a permit":             {`permit (principal in Role::"lead", action == Action::"read", resource);`, ""},
		"all that a plain permit gives":        {plain, policy.TierResults},
		"less where a forbid takes back":       {plain + `forbid (principal, action == Action::"read", resource) when { context.tier == Tier::"results" };`, policy.TierArguments},
		"metadata alone":                       {plain + `forbid (principal, action == Action::"read", resource) unless { context.tier == Tier::"metadata" };`, policy.TierMetadata},
		"a permit of one tier":                 {`permit (principal, action == Action::"read", resource) when { context.tier == Tier::"metadata" };`, policy.TierMetadata},
		"no results without arguments":         {plain + `forbid (principal, action == Action::"read", resource) when { context.tier == Tier::"arguments" };`, policy.TierMetadata},
		"nothing where metadata are forbidden": {plain + `forbid (principal, action == Action::"read", resource) when { context.tier == Tier::"metadata" };`, ""},
		"a plain forbid takes all":             {plain + `forbid (principal, action == Action::"read", resource);`, ""},
		"by the call":                          {plain + `forbid (principal, action == Action::"read", resource is Call) when { resource.tool == "payments.refund" && context.tier == Tier::"results" };`, policy.TierArguments},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := compile(t, tt.policies)
			auditor := policy.Link{Kind: policy.User, ID: "carol", Roles: []string{"auditor"}}
			got := set.Reads(policy.Ask{Person: auditor, On: heldCall("alice", "copilot"), Now: noon})
			if got != tt.want {
				t.Errorf("an auditor reads %q, want %q", got, tt.want)
			}
		})
	}
}

// A tier that there is not, one written as a text, and one in a policy that is not about
// reading are found before the policies are in force.
func TestTiersAreChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ policy, want string }{
		"misspelt":           {`forbid (principal, action == Action::"read", resource) when { context.tier == Tier::"result" };`, `there is no Tier::"result"`},
		"text":               {`forbid (principal, action == Action::"read", resource) when { context.tier == "results" };`, "Tier"},
		"of another action":  {`forbid (principal, action == Action::"approve", resource) when { context.tier == Tier::"results" };`, "tier"},
		"guard of approving": {`forbid (principal, action == Action::"approve", resource) when { context has tier };`, "nothing has `context.tier`"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, found := policy.Compile(file(tt.policy), nil, policy.Options{})
			if set != nil || !strings.Contains(found.Err().Error(), tt.want) {
				t.Errorf("%v, want one that says %q", found, tt.want)
			}
		})
	}
}
