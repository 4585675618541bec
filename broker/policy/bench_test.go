package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

// wide is a tool with 20 arguments, 20 policies about it and three links that call it.
func wide(tb testing.TB) (*policy.Set, policy.Request) {
	tb.Helper()
	var properties, input []string
	for i := range 20 {
		typ, value := "integer", fmt.Sprint(i)
		if i%2 == 1 {
			typ, value = "string", fmt.Sprintf("%q", strings.Repeat("x", i))
		}
		properties = append(properties, fmt.Sprintf(`"f%d":{"type":%q}`, i, typ))
		input = append(input, fmt.Sprintf(`"f%d":%s`, i, value))
	}
	tool := policy.Tool{
		Upstream: "payments", Domain: "payments", Name: "refund",
		InputSchema: json.RawMessage(`{"type":"object","properties":{` + strings.Join(properties, ",") + `}}`),
	}
	text := `permit (principal in Role::"support", action in Action::"payments", resource);`
	for i := range 19 {
		condition := fmt.Sprintf(`context.input has f%d && context.input.f%d > 1000`, i, i)
		if i%2 == 1 {
			condition = fmt.Sprintf(`context.input has f%d && context.input.f%d like "*secret*"`, i, i)
		}
		text += fmt.Sprintf("\nforbid (principal, action in Action::\"payments\", resource) when { %s } unless { context.approvals.count >= 1 };", condition)
	}
	set := compile(tb, text, tool)
	r := policy.Request{
		Tool: "payments.refund", Links: []policy.Link{alice(), copilot(), {Kind: policy.Agent, ID: "sub", Roles: []string{"support"}}},
		Text: "{" + strings.Join(input, ",") + "}", Scopes: []string{"tools"}, TokenExpires: noon, Now: noon,
	}
	r.Input = decoded(tb, r.Text)
	return set, r
}

func BenchmarkDecide(b *testing.B) {
	set, r := wide(b)
	b.ReportAllocs()
	for b.Loop() {
		if d, err := set.Decide(r); err != nil || d.Effect != audit.Allow {
			b.Fatalf("%v, %v", d, err)
		}
	}
}

func BenchmarkPermits(b *testing.B) {
	set := compile(b, designPolicies+`permit (principal, action == Action::"read", resource in Domain::"payments");`)
	ask := policy.Ask{Person: alice(), Action: policy.ActionRead, On: policy.OnCall{ID: "1", Tool: "payments.refund", Domain: "payments"}, Now: noon}
	b.ReportAllocs()
	for b.Loop() {
		if set.Permits(ask).Effect != audit.Allow {
			b.Fatal("denied")
		}
	}
}

func BenchmarkVisibleRemembered(b *testing.B) {
	set, r := wide(b)
	b.ReportAllocs()
	for b.Loop() {
		if len(set.Visible(r.Links, r.Scopes)) != 1 {
			b.Fatal("not visible")
		}
	}
}

func BenchmarkCompile200Tools(b *testing.B) {
	var tools []policy.Tool
	for i := range 200 {
		t := refund()
		t.Name = fmt.Sprint("tool", i)
		tools = append(tools, t)
	}
	text := ""
	for i := range 50 {
		text += fmt.Sprintf("forbid (principal, action == Action::\"payments.tool%d\", resource) when { context.input.amount > %d };\n", i, i)
		text += "permit (principal, action in Action::\"payments\", resource) when { context.input has memo && context.input.memo like \"*x*\" };\n"
	}
	for b.Loop() {
		if _, findings := policy.Compile(file(text), tools, policy.Options{}); findings.Err() != nil {
			b.Fatal(findings)
		}
	}
}
