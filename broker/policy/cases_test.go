package policy_test

import (
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/policy"
)

const designCases = `
cases:
  - name: small refunds run
    as: alice
    roles: [support]
    agents: [{id: copilot, roles: [support]}]
    tool: payments.refund
    input: {amount: 100, account: a, rate: 0.5, tags: [x, 1.5]}
    expect: allow
    policies: [p.cedar#1]
  - name: big refunds wait
    as: alice
    roles: [support]
    tool: payments.refund
    input: {amount: 101, account: a}
    approvals: {count: 1, roles: [lead]}
    expect: hold
    policies: [big-refunds-need-two]
  - name: nobody approves their own
    as: bob
    roles: [lead]
    action: approve
    call: {tool: payments.refund, domain: payments, principal: bob}
    at: 2026-11-24T12:00:00Z
    expect: deny
    policies: [four-eyes]
  - name: no arguments
    as: alice
    roles: [support]
    tool: payments.balance
    expect: allow
`

func TestCasesOfTheDesignHold(t *testing.T) {
	t.Parallel()
	cases, err := policy.ParseCases([]byte(designCases))
	if err != nil {
		t.Fatal(err)
	}
	results := policy.RunCases(compile(t, designPolicies), cases, noon)
	if len(results) != 4 {
		t.Fatalf("%d results of 4 cases", len(results))
	}
	for _, r := range results {
		if r.Problem != "" {
			t.Errorf("%s: %s", r.Case.Name, r.Problem)
		}
	}
}

func TestCaseThatFailsSaysHow(t *testing.T) {
	t.Parallel()
	set := compile(t, designPolicies)
	for text, want := range map[string]string{
		"{as: alice, roles: [support], tool: payments.refund, input: {amount: 101}, expect: allow}":                                  `decided hold, expected allow (forbid big-refunds-need-two for User::"alice")`,
		"{as: alice, tool: payments.refund, input: {amount: 1}, expect: allow}":                                                      `decided deny, expected allow (nothing permits it for User::"alice")`,
		"{as: carol, roles: [auditor], action: read, tier: results, call: {tool: payments.refund, domain: payments}, expect: allow}": `decided deny, expected allow (nothing permits it for User::"carol")`,
		"{as: alice, tool: payments.refund, input: {amount: 1}, expect: deny, policies: [four-eyes]}":                                "policy four-eyes did not determine it",
		"{as: alice, tool: none.such, expect: allow}":                                                                                `decided deny, expected allow; tool "none.such" is not in the policy set`,
		"{as: alice, roles: [support], tool: payments.refund, input: {amount: .inf}, expect: allow}":                                 "decided deny, expected allow; input of the case: json: invalid number literal \"+Inf\"",
		"{as: alice, roles: [support], tool: payments.refund, input: {amount: 1000000000000.5}, expect: allow}":                      "decided deny, expected allow; argument /amount is read by a policy as an integer of 64 bits, and does not fit",
	} {
		cases, err := policy.ParseCases([]byte("cases: [" + text + "]"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := policy.RunCases(set, cases, noon)[0].Problem; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestCasesThatCannotBeMeant(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cases: [{tool: a.b, expect: maybe}]":                                       `expect is "maybe"`,
		"cases: [{expect: allow}]":                                                  "want either tool or action",
		"cases: [{tool: a.b, action: read, expect: allow}]":                         "want either tool or action",
		"cases: [{action: read, expect: hold, call: {tool: a.b}}]":                  "an action is a person's",
		"cases: [{action: read, expect: allow}]":                                    "an action is a person's",
		"cases: [{action: read, tier: all, expect: allow, call: {tool: a.b}}]":      `tier is "all"`,
		"cases: [{action: erase, tier: results, expect: allow, call: {tool: a.b}}]": `tier is "results"`,
		"cases: [{tool: a.b, expects: allow}]":                                      "expects",
		"cases: []\n---\ncases: []":                                                 "second document",
		"cases: [":                                                                  "parse cases",
	} {
		if _, err := policy.ParseCases([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if cases, err := policy.ParseCases(nil); err != nil || len(cases) != 0 {
		t.Errorf("no text: %v, %v", cases, err)
	}
}

func FuzzParseCases(f *testing.F) {
	f.Add([]byte(designCases))
	f.Add([]byte("cases: [{tool: a.b, input: {x: [1, 0x10, .nan]}, expect: deny}]"))
	set := compile(f, designPolicies)
	f.Fuzz(func(t *testing.T, text []byte) {
		cases, err := policy.ParseCases(text)
		if err != nil {
			return
		}
		if results := policy.RunCases(set, cases, noon); len(results) != len(cases) {
			t.Errorf("%d results of %d cases", len(results), len(cases))
		}
	})
}
