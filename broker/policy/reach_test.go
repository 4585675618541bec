package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/policy"
)

func TestReach(t *testing.T) {
	t.Parallel()
	const tools = `permit (principal, action in Action::"call", resource);`
	for name, tt := range map[string]struct {
		policies string
		want     policy.Extent
	}{
		"nobody reads":         {``, policy.Nothing},
		"a role reads all":     {`permit (principal in Role::"auditor", action == Action::"read", resource);`, policy.Everything},
		"everybody reads all":  {`permit (principal, action == Action::"read", resource);`, policy.Everything},
		"another role":         {`permit (principal in Role::"lead", action == Action::"read", resource);`, policy.Nothing},
		"this domain":          {`permit (principal in Role::"auditor", action == Action::"read", resource in Domain::"payments");`, policy.Everything},
		"another domain":       {`permit (principal in Role::"auditor", action == Action::"read", resource in Domain::"source");`, policy.Nothing},
		"calls alone":          {`permit (principal in Role::"auditor", action == Action::"read", resource is Call);`, policy.Some},
		"the domain alone":     {`permit (principal in Role::"auditor", action == Action::"read", resource == Domain::"payments");`, policy.Some},
		"their own":            {`permit (principal, action == Action::"read", resource is Call) when { resource.principal == principal };`, policy.Some},
		"one person's":         {`permit (principal, action == Action::"read", resource is Call) when { resource.principal == User::"alice" };`, policy.Some},
		"one tool's":           {`permit (principal, action == Action::"read", resource is Call) when { resource.tool == "payments.refund" };`, policy.Some},
		"all but one person's": {`permit (principal, action == Action::"read", resource); forbid (principal, action == Action::"read", resource is Call) when { resource.principal == User::"ceo" };`, policy.Some},
		"all but one agent's":  {`permit (principal, action == Action::"read", resource); forbid (principal, action == Action::"read", resource is Call) when { resource.agents.contains(Agent::"hr") };`, policy.Some},
		"all but one tool's":   {`permit (principal, action == Action::"read", resource); forbid (principal, action == Action::"read", resource is Call) when { resource.tool like "payments.salar*" };`, policy.Some},
		"all but a tool named": {`permit (principal, action == Action::"read", resource); forbid (principal, action == Action::"read", resource is Call) when { resource.tool == "payments.salaries" };`, policy.Some},
		"with a scope":         {`permit (principal, action == Action::"read", resource) when { context.token.scopes.contains("history") };`, policy.Some},
		"well authenticated":   {`permit (principal, action == Action::"read", resource) when { context.token has acr && context.token.acr == "3" };`, policy.Some},
		"what they approve":    {`permit (principal, action == Action::"read", resource is Call) when { resource.approvers.contains("lead") };`, policy.Some},
		"one upstream of two":  {`permit (principal, action == Action::"read", resource in Upstream::"payments");`, policy.Some},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, findings := policy.Compile([]policy.File{{Name: "p.cedar", Text: []byte(tools + tt.policies)}}, nil, policy.Options{})
			if set == nil {
				t.Fatal(findings)
			}
			got := set.Reach([]string{"auditor"}, "payments", []string{"payments", "ledger"}, time.Now())
			if got != tt.want {
				t.Errorf("reads %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRolesThatRead(t *testing.T) {
	t.Parallel()
	set, findings := policy.Compile([]policy.File{{Name: "p.cedar", Text: []byte(`
		permit (principal in Role::"support", action in Action::"call", resource);
		permit (principal in Role::"lead", action in [Action::"approve", Action::"read"], resource);
		permit (principal, action == Action::"read", resource) when { principal in Role::"auditor" };
		permit (principal in Role::"lead", action == Action::"read", resource is Call);`)}}, nil, policy.Options{})
	if set == nil {
		t.Fatal(findings)
	}
	if diff := cmp.Diff([]string{"auditor", "lead"}, set.RolesThatRead()); diff != "" {
		t.Error(diff)
	}
}
