package policy_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/policy"
)

func TestVisibleIsWhatSomeArgumentsCouldReach(t *testing.T) {
	t.Parallel()
	both := []string{"payments.balance", "payments.refund"}
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing permitted", `permit (principal in Role::"lead", action, resource);`, nil},
		{"permitted", `permit (principal, action in Action::"payments", resource);`, both},
		{"one link only", `permit (principal is User, action, resource);`, nil},
		{"by arguments", `permit (principal, action == Action::"payments.refund", resource) when { context.input.amount > 100 };`, both[1:]},
		{"forbidden by arguments", designPolicies, both},
		{"forbidden whatever the arguments", designPolicies + `forbid (principal, action == Action::"payments.refund", resource);`, both[:1]},
		{"forbidden to one link", designPolicies + `forbid (principal == Agent::"copilot", action, resource);`, nil},
		{"by annotations", `permit (principal, action in Action::"call", resource) when { context.tool.readOnly };`, both[:1]},
		{"by scope", `permit (principal, action in Action::"call", resource) when { context.token.scopes.contains("write") };`, nil},
		{"by what tokens may say", `permit (principal, action in Action::"call", resource) when { context.token has acr && context.token.acr == "mfa" };`, both},
		{"by time", `permit (principal, action in Action::"call", resource) when { context.now > datetime("2999-01-01") };`, both},
		{"after approvals", `permit (principal, action in Action::"call", resource) when { context.approvals.count >= 2 };`, both},
	}
	for _, test := range tests {
		got := compile(t, test.text).Visible([]policy.Link{alice(), copilot()}, []string{"read"})
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	if got := compile(t, designPolicies).Visible(nil, nil); got != nil {
		t.Errorf("without a chain: %q", got)
	}
}

func TestViewsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal == User::"a", action, resource);
		permit (principal in Role::"b;", action in Action::"call", resource) when { context.token.scopes.contains("s") };`)
	see := func(link policy.Link, scopes ...string) int { return len(set.Visible([]policy.Link{link}, scopes)) }
	var calls sync.WaitGroup
	for i := range 3000 { // beyond what is remembered
		calls.Go(func() {
			if i%2 == 0 {
				see(policy.Link{Kind: policy.User, ID: fmt.Sprint("u", i)})
			}
			if n := see(policy.Link{Kind: policy.User, ID: "a"}); n != 2 {
				t.Errorf("user a sees %d", n)
			}
			if n := see(policy.Link{Kind: policy.Agent, ID: "a"}); n != 0 {
				t.Errorf("agent a sees %d", n)
			}
			if n := see(policy.Link{Kind: policy.Agent, ID: "x", Roles: []string{"b;"}}, "s"); n != 2 {
				t.Errorf("role b; with scope s sees %d", n)
			}
			if n := see(policy.Link{Kind: policy.Agent, ID: "x", Roles: []string{"b", "s"}}); n != 0 {
				t.Errorf("roles b and s see %d", n)
			}
		})
	}
	calls.Wait()
}

func TestWhatIsReturnedMayBeChanged(t *testing.T) {
	t.Parallel()
	set := compile(t, designPolicies)
	chain := []policy.Link{alice(), copilot()}
	set.Visible(chain, nil)[0] = "x"
	set.Files()[0] = "x"
	if set.Visible(chain, nil)[0] == "x" || set.Files()[0] == "x" {
		t.Error("a caller changed the set")
	}
}
