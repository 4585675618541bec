package policy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/broker/policy"
)

// The examples of the design, word for word.
const designPolicies = `permit (principal in Role::"support", action in Action::"payments", resource);

@id("big-refunds-need-two") @approvers("lead") @expires("15m") @reason("Refunds over 100 need two leads.")
forbid (principal, action == Action::"payments.refund", resource)
when { context.input.amount > 100 } unless { context.approvals.count >= 2 };

@id("four-eyes")
forbid (principal, action == Action::"approve", resource) when { resource.principal == principal };
`

const refundSchema = `{"type":"object","required":["amount","account"],"properties":{
	"amount":{"type":"integer"},"account":{"type":"string"},"memo":{"type":"string"},
	"rate":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}},"urgent":{"type":"boolean"},
	"to":{"type":"object","required":["bank"],"properties":{"bank":{"type":"string"},"country":{"type":"string"}}},
	"either":{"anyOf":[{"type":"string"},{"type":"null"}]},"extra":{"type":"object"}}}`

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func refund() policy.Tool {
	return policy.Tool{Upstream: "payments", Domain: "payments", Name: "refund", InputSchema: json.RawMessage(refundSchema)}
}

func balance() policy.Tool {
	yes := true
	return policy.Tool{
		Upstream: "payments", Domain: "payments", Name: "balance",
		InputSchema: json.RawMessage(`{"type":"object","properties":{"account":{"type":"string"}}}`),
		Annotations: policy.Annotations{ReadOnly: &yes},
	}
}

func file(text string) []policy.File {
	return []policy.File{{Name: "p.cedar", Text: []byte(text)}}
}

func compile(tb testing.TB, text string, tools ...policy.Tool) *policy.Set {
	tb.Helper()
	if tools == nil {
		tools = []policy.Tool{refund(), balance()}
	}
	set, findings := policy.Compile(file(text), tools, policy.Options{})
	if err := findings.Err(); err != nil {
		tb.Fatalf("compile: %v", err)
	}
	return set
}

func decoded(tb testing.TB, text string) any {
	tb.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		tb.Fatalf("decode %s: %v", text, err)
	}
	return v
}

func alice() policy.Link {
	return policy.Link{Kind: policy.User, ID: "alice", Roles: []string{"support"}}
}

func copilot() policy.Link {
	return policy.Link{Kind: policy.Agent, ID: "copilot", Roles: []string{"support"}}
}

// request is alice through copilot, calling payments.refund with input.
func request(tb testing.TB, input string) policy.Request {
	tb.Helper()
	return policy.Request{
		Tool: "payments.refund", Links: []policy.Link{alice(), copilot()},
		Input: decoded(tb, input), Text: input,
		Scopes: []string{"tools"}, TokenExpires: noon.Add(time.Hour), Now: noon,
	}
}
