package policy_test

import (
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

const onlyRegistered = `
permit (principal, action in Action::"payments", resource);
@id("registered-only") @reason("Register the agent, with an owner and a purpose.")
forbid (principal is Agent, action in Action::"call", resource) unless { principal.registered };
`

func TestUnregisteredAgentsByPolicy(t *testing.T) {
	t.Parallel()
	set, found := policy.Compile([]policy.File{{Name: "a.cedar", Text: []byte(onlyRegistered)}}, []policy.Tool{
		{Upstream: "payments", Domain: "payments", Name: "refund", InputSchema: []byte(`{"type":"object","properties":{"amount":{"type":"integer"}}}`)},
	}, policy.Options{})
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	for registered, want := range map[bool]audit.Effect{true: audit.Allow, false: audit.Deny} {
		d, err := set.Decide(policy.Request{
			Tool: "payments.refund", Now: time.Now(), Input: map[string]any{}, Text: "{}",
			Links: []policy.Link{{Kind: policy.User, ID: "alice"}, {Kind: policy.Agent, ID: "copilot", Registered: registered}},
		})
		if err != nil || d.Effect != want {
			t.Errorf("registered %t: %s, %v", registered, d.Effect, err)
		}
	}
	wrong := `forbid (principal is User, action in Action::"call", resource) unless { principal.registered };`
	if _, found := policy.Compile([]policy.File{{Name: "a.cedar", Text: []byte(wrong)}}, []policy.Tool{
		{Upstream: "payments", Domain: "payments", Name: "refund", InputSchema: []byte(`{"type":"object"}`)},
	}, policy.Options{}); found.Err() == nil {
		t.Error("people are said to be registered")
	}
}
