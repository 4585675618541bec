package policy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/policy"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

func lines(findings policy.Findings) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.String())
	}
	return out
}

func TestFindingsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text string }{
		{"syntax", "permit (principal, action, resource) wherever { true };"},
		{"end of file", "permit (principal, action, resource"},
		{"open string", "\n\n  \"abc"},
		{"escape", `permit (principal == User::"\u{110000}", action, resource);`},
		{"misspelt argument", "permit (principal, action, resource);\n\n@id(\"x\")\nforbid (principal, action == Action::\"payments.refund\", resource)\nwhen { context.input.amuont > 1 };"},
		{"misspelt part of the context", `permit (principal, action in Action::"call", resource) when { context.inptu.amount > 1 };`},
		{"unguarded optional", `permit (principal, action == Action::"payments.refund", resource) when { context.input.memo == "x" };`},
		{"unguarded optional inside", `permit (principal, action == Action::"payments.refund", resource) when { context.input has to && context.input.to.country == "x" };`},
		{"unguarded acr", `permit (principal, action == Action::"payments.refund", resource) when { context.token.acr == "x" };`},
		{"no type", `permit (principal, action == Action::"payments.refund", resource) when { context.input has either && context.input.either == "x" };`},
		{"free form", `permit (principal, action == Action::"payments.refund", resource) when { context.input.extra == "x" };`},
		{"wrong type", `permit (principal, action == Action::"payments.refund", resource) when { context.input.amount == "x" };`},
		{"decimal compared", `permit (principal, action == Action::"payments.refund", resource) when { context.input has rate && context.input.rate > 1 };`},
		{"unseen tool", `permit (principal, action == Action::"payments.refnd", resource);`},
		{"unseen tool in a condition", `permit (principal, action, resource) when { action == Action::"crm.find" };`},
		{"unseen upstream", `permit (principal, action in Action::"git", resource) when { context.input.x };`},
		{"one of several unseen", `permit (principal, action in [Action::"payments.refund", Action::"crm.find"], resource) when { context.input.amout > 1 };`},
		{"unknown action", `forbid (principal, action == Action::"Approve", resource);`},
		{"unknown entity type", `permit (principal in Group::"x", action, resource);`},
		{"nothing applies", `permit (principal is Agent, action == Action::"approve", resource);`},
		{"attribute of another resource", `permit (principal, action == Action::"read", resource) when { resource.principal == principal };`},
		{"unknown annotation", `@approver("lead") permit (principal, action, resource);`},
		{"bad id", `@id("two words") permit (principal, action, resource);`},
		{"duplicate id", "@id(\"x\") permit (principal, action, resource);\n@id(\"x\") permit (principal, action, resource);"},
		{"bad duration", `@expires("soon") forbid (principal, action in Action::"call", resource) unless { context.approvals.count > 0 };`},
		{"endless duration", `@expires("367d") forbid (principal, action in Action::"call", resource) unless { context.approvals.count > 0 };`},
		{"empty approver", `@approvers("lead,") forbid (principal, action in Action::"call", resource) unless { context.approvals.count > 0 };`},
		{"empty reason", `@reason(" ") permit (principal, action, resource);`},
		{"approvers without approvals", `@approvers("lead") permit (principal, action, resource);`},
		{"expires without approvals", `@expires("1h") forbid (principal, action, resource);`},
		{"bad decimal", `permit (principal, action, resource) when { decimal("x") == decimal("1.0") };`},
		{"unknown role", `@approvers("laed") forbid (principal in Role::"zzzzzz", action in Action::"call", resource) unless { context.approvals.count > 0 };`},
		{"misspelt twice", `forbid (principal, action == Action::"payments.refund", resource) when { context.input has mmeo && context.input.mmeo like "*x*" };`},
		{"guard that no tool of a group has", `forbid (principal, action in Action::"call", resource) when { context.input has path && context.input.path like "/etc*" };`},
		{"guard that some tool of a group has", `forbid (principal, action in Action::"call", resource) when { context.input has memo && context.input.memo like "*x*" };`},
		{"guard of the context", `forbid (principal, action in Action::"call", resource) when { context has inptu };`},
		{"guard of people's context", `permit (principal, action == Action::"approve", resource) when { context.token has arc && context.token.arc == "2" };`},
		{"guard of an entity", `forbid (principal, action == Action::"approve", resource) when { resource has prinicpal && resource.prinicpal == principal };`},
		{"unknown domain", `permit (principal, action == Action::"read", resource in Domain::"paymnets");`},
		{"guard in a list of tools", `forbid (principal, action in [Action::"payments.refund", Action::"payments.balance"], resource) when { context.input has memmo };`},
		{"guard in a list of groups", `forbid (principal, action in [Action::"payments.refund", Action::"payments"], resource) when { context.input has memmo };`},
		{"unguarded attribute of the call", `permit (principal is User in Role::"lead", action == Action::"approve", resource) when { resource.actor == Agent::"a" };`},
		{"free form inside", `permit (principal, action == Action::"payments.nest", resource) when { context.input.list.contains({x: {}}) && context.input.o.free == 1 };`},
		{"argument of people's action", `forbid (principal, action, resource) when { context.input.amount > 1 };`},
		{"clean", designPolicies},
	}
	nested := policy.Tool{Upstream: "payments", Domain: "payments", Name: "nest", InputSchema: json.RawMessage(`{
		"required":["o","list"],"properties":{"o":{"type":"object","properties":{"free":{"type":"object"},"same":{"$ref":"#/anyOf/0"}}},
		"list":{"type":"array","items":{"type":"object","properties":{"x":{"type":"string"}}}}},"anyOf":[{"type":"string"}]}`)}
	var got strings.Builder
	options := policy.Options{Roles: []string{"support", "lead"}, Domains: []string{"payments"}}
	for _, test := range tests {
		set, findings := policy.Compile(file(test.text), []policy.Tool{refund(), balance(), nested}, options)
		if (set == nil) != (findings.Err() != nil) {
			t.Errorf("%s: set %v with error %v", test.name, set, findings.Err())
		}
		got.WriteString("-- " + test.name + "\n" + strings.Join(lines(findings), "\n") + "\n")
	}
	golden(t, "findings.golden", got.String())
}

func TestToolsThatCannotBe(t *testing.T) {
	t.Parallel()
	tool := func(upstream, domain, name string) policy.Tool {
		return policy.Tool{Upstream: upstream, Domain: domain, Name: name}
	}
	tests := []struct {
		want  string
		tools []policy.Tool
	}{
		{`error: upstream name "A b" is not of the form [a-z0-9-]+`, []policy.Tool{tool("A b", "d", "x")}},
		{`error: upstream name "approve" is reserved`, []policy.Tool{tool("approve", "d", "x")}},
		{`error: a tool of upstream "a" has no name`, []policy.Tool{tool("a", "d", "")}},
		{`error: upstream "a" has no domain`, []policy.Tool{tool("a", "", "x")}},
		{`error: tool "a.x" is there twice`, []policy.Tool{tool("a", "d", "x"), tool("a", "d", "x")}},
		{`error: upstream "a" is in two domains, "d" and "e"`, []policy.Tool{tool("a", "d", "x"), tool("a", "e", "y")}},
		{`error: parse input schema: unexpected EOF`, []policy.Tool{{Upstream: "a", Domain: "d", Name: "x", InputSchema: json.RawMessage(`{"type":`)}}},
	}
	for _, test := range tests {
		set, findings := policy.Compile(nil, test.tools, policy.Options{})
		if got := lines(findings); set != nil || !slices.Contains(got, test.want) {
			t.Errorf("set %v, findings %q, want %q", set, got, test.want)
		}
	}
}

func TestConfiguredUpstreamsMakeATypoFatal(t *testing.T) {
	t.Parallel()
	_, findings := policy.Compile(file(`forbid (principal, action == Action::"paymnets.refund", resource);`), nil,
		policy.Options{Upstreams: []string{"payments"}})
	want := `p.cedar:1:38: error: p.cedar#1: there is no action Action::"paymnets.refund", and no upstream "paymnets" (write Action::"upstream" or Action::"upstream.tool")`
	if diff := cmp.Diff([]string{want}, lines(findings)); diff != "" {
		t.Error(diff)
	}
}

func TestErrJoinsFatalFindingsOnly(t *testing.T) {
	t.Parallel()
	_, findings := policy.Compile(file("@x permit (principal, action == Action::\"git.push\", resource);\n@y permit (principal, action, resource);"), nil, policy.Options{DefaultHold: -1})
	var first *policy.FindingError
	err := findings.Err()
	if !errors.As(err, &first) || first.Message != "the default time limit of holds is negative" {
		t.Errorf("first error = %v", first)
	}
	if got := strings.Count(err.Error(), "\n"); got != 2 {
		t.Errorf("%d line breaks in %v, want 2", got, err)
	}
}

func TestToolThatAPolicyDoesNotFitIsQuarantined(t *testing.T) {
	t.Parallel()
	changed := refund()
	changed.InputSchema = json.RawMessage(`{"type":"object","properties":{"amount":{"type":"string"}}}`)
	set, findings := policy.Compile(file(designPolicies), []policy.Tool{changed, balance()}, policy.Options{
		MayQuarantine: func(tool string) bool { return tool == "payments.refund" },
	})
	if err := findings.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"payments.refund"}, set.Quarantined()); diff != "" {
		t.Error(diff)
	}
	about := findings.About("payments.refund")
	if len(about) == 0 || about[0].Severity != policy.Quarantine || about[0].Policy != "big-refunds-need-two" {
		t.Errorf("findings about the tool: %v", about)
	}
	_, err := set.Decide(request(t, `{"amount":1}`))
	var unknown *policy.UnknownToolError
	if !errors.As(err, &unknown) || unknown.Tool != "payments.refund" {
		t.Errorf("deciding on it: %v, want an UnknownToolError", err)
	}
	pinned := policy.Options{MayQuarantine: func(string) bool { return false }}
	if set, findings := policy.Compile(file(designPolicies), []policy.Tool{changed}, pinned); set != nil || findings.Err() == nil {
		t.Error("a policy that does not fit a pinned tool was activated")
	}
}

func TestSleepingPolicyWakesWithItsTool(t *testing.T) {
	t.Parallel()
	files := file(`permit (principal, action == Action::"git.push", resource) when { context.input.branch == "main" };`)
	if _, findings := policy.Compile(files, nil, policy.Options{}); findings.Err() != nil || len(findings) != 1 {
		t.Fatalf("asleep: %v, want one warning", findings)
	}
	push := policy.Tool{Upstream: "git", Domain: "source", Name: "push", InputSchema: json.RawMessage(`{"properties":{"ref":{"type":"string"}}}`)}
	if _, findings := policy.Compile(files, []policy.Tool{push}, policy.Options{}); findings.Err() == nil {
		t.Fatal("awake: a policy that does not fit was accepted")
	}
}

func TestSchemaIsPrinted(t *testing.T) {
	t.Parallel()
	golden(t, "schema.golden", compile(t, designPolicies).Schema())
}

func TestPoliciesAreListed(t *testing.T) {
	t.Parallel()
	set := compile(t, designPolicies)
	var ids []string
	for _, p := range set.Policies() {
		ids = append(ids, p.ID+" "+p.Effect)
	}
	if diff := cmp.Diff([]string{"big-refunds-need-two forbid", "four-eyes forbid", "p.cedar#1 permit"}, ids); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"p.cedar"}, set.Files()); diff != "" {
		t.Error(diff)
	}
}

func TestDigestCoversNamesAndTexts(t *testing.T) {
	t.Parallel()
	a, b := policy.File{Name: "a", Text: []byte("x")}, policy.File{Name: "b", Text: []byte("y")}
	if policy.Digest([]policy.File{a, b}) != policy.Digest([]policy.File{b, a}) {
		t.Error("the order of files changes the digest")
	}
	seen := map[string]bool{}
	for _, files := range [][]policy.File{nil, {a}, {b}, {a, b}, {{Name: "a", Text: []byte("y")}}, {{Name: "ax"}}, {{Text: []byte("ax")}}} {
		seen[policy.Digest(files)] = true
	}
	if len(seen) != 7 {
		t.Errorf("%d digests of 7 sets", len(seen))
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	got := []string{
		policy.Fatal.String(), policy.Quarantine.String(), policy.Warning.String(), policy.Severity(9).String(),
		alice().String(), copilot().String(), policy.Link{Kind: policy.User, ID: "a\"\n"}.String(),
	}
	want := []string{"error", "quarantine", "warning", "severity 9", `User::"alice"`, `Agent::"copilot"`, `User::"a\"\n"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
