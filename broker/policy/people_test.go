package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

func bob() policy.Link {
	return policy.Link{Kind: policy.User, ID: "bob", Roles: []string{"lead"}}
}

func heldCall(principal string, agents ...string) policy.OnCall {
	return policy.OnCall{ID: "c1", Tool: "payments.refund", Domain: "payments", Principal: principal, Agents: agents, Approvers: []string{"lead"}}
}

func TestFourEyes(t *testing.T) {
	t.Parallel()
	set := compile(t, designPolicies+`@id("leads") permit (principal in Role::"lead", action == Action::"approve", resource);`)
	ask := policy.Ask{Person: bob(), Action: policy.ActionApprove, On: heldCall("alice", "copilot"), Now: noon}
	want := audit.Decision{Effect: audit.Allow, PolicySet: set.Digest(), Reasons: []audit.Reason{{Policy: "leads", Effect: "permit", Link: `User::"bob"`}}}
	if diff := cmp.Diff(want, set.Permits(ask)); diff != "" {
		t.Error(diff)
	}
	ask.On = heldCall("bob", "copilot")
	want = audit.Decision{Effect: audit.Deny, PolicySet: set.Digest(), Reasons: []audit.Reason{{Policy: "four-eyes", Effect: "forbid", Link: `User::"bob"`}}}
	if diff := cmp.Diff(want, set.Permits(ask)); diff != "" {
		t.Error(diff)
	}
	ask.On = heldCall("", "copilot") // an agent on its own
	if got := set.Permits(ask).Effect; got != audit.Allow {
		t.Errorf("an agent's own call: %s", got)
	}
	ask.Person, ask.On = alice(), heldCall("bob")
	if got := set.Permits(ask); got.Effect != audit.Deny || got.Reasons[0].Effect != "none" {
		t.Errorf("without the role: %+v", got)
	}
}

// Who is refused for their login alone is told which would do; nobody else is.
func TestAStrongerLoginIsAskedForWhereItWouldHelp(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal in Role::"lead", action == Action::"approve", resource);
		@id("strong") @acr("gold") forbid (principal, action == Action::"approve", resource) unless { context.token has acr && context.token.acr == "gold" };
		@id("four-eyes") forbid (principal, action == Action::"approve", resource) when { resource.principal == principal };`)
	ask := policy.Ask{Person: bob(), Action: policy.ActionApprove, On: heldCall("alice", "copilot"), Now: noon}
	own, stranger := ask, ask
	own.On, stranger.Person = heldCall("bob", "copilot"), policy.Link{Kind: policy.User, ID: "dora"}
	strong, weak := ask, ask
	strong.ACR, weak.ACR = "gold", "silver"
	for name, c := range map[string]struct {
		ask    policy.Ask
		effect audit.Effect
		stepUp string
	}{
		"no acr":                        {ask, audit.Deny, "gold"},
		"another":                       {weak, audit.Deny, "gold"},
		"the one that is asked for":     {strong, audit.Allow, ""},
		"it is the person's own call":   {own, audit.Deny, ""},
		"without the role in any event": {stranger, audit.Deny, ""},
	} {
		if got := set.Permits(c.ask); got.Effect != c.effect || got.StepUp != c.stepUp {
			t.Errorf("%s: %s, step up to %q", name, got.Effect, got.StepUp)
		}
	}
	for _, bad := range []string{"", "two words", `a\"b`} {
		if _, findings := policy.Compile(file(`@acr("`+bad+`") permit (principal, action, resource);`), nil, policy.Options{}); findings.Err() == nil {
			t.Errorf("@acr(%q) is taken", bad)
		}
	}
}

func TestWhatPeopleMayDo(t *testing.T) {
	t.Parallel()
	call := heldCall("alice", "copilot", "sub")
	tests := []struct {
		policy, action string
		on             policy.Resource
		want           audit.Effect
	}{
		{`action == Action::"read", resource in Domain::"payments"`, policy.ActionRead, call, audit.Allow},
		{`action == Action::"read", resource in Upstream::"payments"`, policy.ActionRead, call, audit.Allow},
		{`action == Action::"read", resource in Domain::"source"`, policy.ActionRead, call, audit.Deny},
		{`action == Action::"read", resource in Domain::"deed"`, policy.ActionRead, policy.OnDomain{Name: "deed"}, audit.Allow},
		{`action == Action::"read", resource in Domain::"payments"`, policy.ActionRead, policy.OnTool{Tool: "payments.refund", Domain: "payments"}, audit.Allow},
		{`action == Action::"read", resource is Call) when { resource.principal == principal }; permit (principal, action == Action::"review", resource`, policy.ActionRead, heldCall("bob"), audit.Allow},
		{`action == Action::"approve", resource) when { resource has actor && resource.actor == Agent::"copilot" && resource.agents.contains(Agent::"sub") }; permit (principal, action == Action::"review", resource`, policy.ActionApprove, call, audit.Allow},
		{`action == Action::"approve", resource) when { resource.tool == "payments.refund" && resource.approvers.contains("lead") }; permit (principal, action == Action::"review", resource`, policy.ActionApprove, call, audit.Allow},
		{`action == Action::"approve", resource) when { resource.principal.id == "alice" && !(resource.principal in Role::"support") && resource has actor && resource.actor.id == "copilot" }; permit (principal, action == Action::"review", resource`, policy.ActionApprove, call, audit.Allow},
		{`action == Action::"approve", resource) when { resource.principal in Role::"support" }; permit (principal, action == Action::"review", resource`, policy.ActionApprove, policy.OnCall{ID: "c", Tool: "a.b", Domain: "d", Principal: "alice", Roles: []string{"support"}}, audit.Allow},
		{`action == Action::"revoke", resource in Role::"support"`, policy.ActionRevoke, policy.OnAgent{ID: "copilot", Roles: []string{"support"}}, audit.Allow},
		{`action == Action::"revoke", resource in Role::"support"`, policy.ActionRevoke, policy.OnUser{ID: "alice", Roles: []string{"support"}}, audit.Allow},
		{`action == Action::"revoke", resource in Role::"support"`, policy.ActionRevoke, policy.OnUser{ID: "alice"}, audit.Deny},
		{`action == Action::"review", resource == Tool::"payments.refund"`, policy.ActionReview, policy.OnTool{Tool: "payments.refund", Domain: "payments"}, audit.Allow},
		{`action == Action::"review", resource is Call`, policy.ActionReview, call, audit.Allow},
		{`action, resource`, policy.ActionRead, policy.OnUser{ID: "alice"}, audit.Deny},
		{`action, resource`, policy.ActionRevoke, call, audit.Deny},
		{`action, resource`, "call", call, audit.Deny},
		{`action, resource`, "payments.refund", call, audit.Deny},
		{`action, resource`, policy.ActionApprove, policy.OnCall{}, audit.Deny},
		{`action, resource`, policy.ActionApprove, nil, audit.Deny},
	}
	for _, test := range tests {
		set := compile(t, `permit (principal, `+test.policy+`);`)
		ask := policy.Ask{Person: bob(), Action: test.action, On: test.on, Now: noon, Scopes: []string{"x"}, TokenExpires: noon}
		if got := set.Permits(ask); got.Effect != test.want {
			t.Errorf("%s: %s %v is %+v, want %s", test.policy, test.action, test.on, got, test.want)
		}
	}
}

func TestOnlyPeopleAct(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action, resource);`)
	good := policy.Ask{Person: bob(), Action: policy.ActionApprove, On: heldCall("alice"), Now: noon}
	if got := set.Permits(good).Effect; got != audit.Allow {
		t.Fatalf("bob: %s", got)
	}
	for name, change := range map[string]func(*policy.Ask){
		"an agent": func(a *policy.Ask) { a.Person = copilot() },
		"nobody":   func(a *policy.Ask) { a.Person.ID = "" },
		"no time":  func(a *policy.Ask) { a.Now = time.Time{} },
	} {
		ask := good
		change(&ask)
		if got := set.Permits(ask); got.Effect != audit.Deny || len(got.Errors) != 1 {
			t.Errorf("%s: %+v, want a denial that says why", name, got)
		}
	}
}
