package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

func drawCondition(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		`context.input.amount > 100`, `context.input.amount > 1000`, `context.input.account == "a"`,
		`context.input has memo && context.input.memo like "*x*"`, `context.approvals.count >= 1`, `context.approvals.count >= 2`,
		`context.approvals.roles.contains("lead")`, `context.chain has user`, `context.chain.depth > 1`,
		`context.token.scopes.contains("write")`, `context.input.amount * 1000000000000000000 > 0`, `true`,
		`context.now < datetime("2026-12-01")`, `!(context.text like "*b*")`,
	}).Draw(t, "condition")
}

func drawPolicy(t *rapid.T, effect, id string) string {
	principal := rapid.SampledFrom([]string{`principal`, `principal is User`, `principal is Agent`, `principal in Role::"support"`, `principal == User::"alice"`}).Draw(t, "principal")
	text := fmt.Sprintf("@id(%q) %s (%s, action in Action::\"call\", resource)", id, effect, principal)
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		word := rapid.SampledFrom([]string{"when", "unless"}).Draw(t, "word")
		text += fmt.Sprintf(" %s { %s }", word, drawCondition(t))
	}
	return text + ";"
}

func drawPolicies(t *rapid.T) []string {
	var texts []string
	for i := range rapid.IntRange(1, 6).Draw(t, "policies") {
		effect := rapid.SampledFrom([]string{"permit", "permit", "forbid"}).Draw(t, "effect")
		texts = append(texts, drawPolicy(t, effect, fmt.Sprintf("p%d", i)))
	}
	return texts
}

func drawLink(t *rapid.T) policy.Link {
	return rapid.SampledFrom([]policy.Link{alice(), copilot(), bob(), {Kind: policy.Agent, ID: "sub"}}).Draw(t, "link")
}

func drawRequest(t *rapid.T) policy.Request {
	input := map[string]any{
		"amount":  json.Number(rapid.SampledFrom([]string{"1", "101", "1001"}).Draw(t, "amount")),
		"account": rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account"),
	}
	if rapid.Bool().Draw(t, "has memo") {
		input["memo"] = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "memo")
	}
	return policy.Request{
		Tool: "payments.refund", Input: input, Text: fmt.Sprint(input["account"]), Now: noon, TokenExpires: noon,
		Links:  rapid.SliceOfN(rapid.Custom(drawLink), 1, 3).Draw(t, "links"),
		Scopes: rapid.SliceOf(rapid.SampledFrom([]string{"read", "write"})).Draw(t, "scopes"),
		Approvals: policy.Approvals{
			Count: rapid.IntRange(0, 2).Draw(t, "count"),
			Roles: rapid.SliceOf(rapid.SampledFrom([]string{"lead", "other"})).Draw(t, "roles"),
		},
	}
}

// bounded compiles policies about a refund tool whose schema has an account and an amount.
func bounded(t *rapid.T, texts []string) *policy.Set {
	tool := refund()
	set, findings := policy.Compile(file(strings.Join(texts, "\n")), []policy.Tool{tool}, policy.Options{})
	if err := findings.Err(); err != nil {
		t.Fatalf("compile: %v", err)
	}
	return set
}

func mustDecide(t *rapid.T, set *policy.Set, r policy.Request) audit.Decision {
	d, err := set.Decide(r)
	if err != nil {
		t.Fatalf("decide: %v", err)
	}
	return d
}

// rank orders effects by how much they let through.
func rank(d audit.Decision) int {
	return slices.Index([]audit.Effect{audit.Deny, audit.Hold, audit.Allow}, d.Effect)
}

func TestForbidNeverWidens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts, r := drawPolicies(t), drawRequest(t)
		before := mustDecide(t, bounded(t, texts), r)
		after := mustDecide(t, bounded(t, append(texts, drawPolicy(t, "forbid", "more"))), r)
		if rank(after) > rank(before) {
			t.Fatalf("%s became %s", before.Effect, after.Effect)
		}
	})
}

// Conditions on the chain differ for a chain of one: they are the same for all links, so they are left in place here.
func TestEveryLinkIsNecessary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := slices.DeleteFunc(drawPolicies(t), func(p string) bool { return strings.Contains(p, "chain") })
		r := drawRequest(t)
		set := bounded(t, texts)
		whole := rank(mustDecide(t, set, r))
		least := rank(audit.Decision{Effect: audit.Allow})
		for _, l := range r.Links {
			one := r
			one.Links = []policy.Link{l}
			least = min(least, rank(mustDecide(t, set, one)))
		}
		if whole > least {
			t.Fatalf("the chain reaches %d, its weakest link %d", whole, least)
		}
	})
}

func TestDecisionIsIndependentOfTheOrderOfPolicies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts, r := drawPolicies(t), drawRequest(t)
		one := mustDecide(t, bounded(t, texts), r)
		other := mustDecide(t, bounded(t, rapid.Permutation(texts).Draw(t, "order")), r)
		one.PolicySet, other.PolicySet = "", ""
		if diff := cmp.Diff(one, other); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDecisionsAreWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts, r := drawPolicies(t), drawRequest(t)
		set := bounded(t, texts)
		d := mustDecide(t, set, r)
		if len(d.Reasons) == 0 && len(d.Errors) == 0 {
			t.Fatalf("%+v gives no reason", d)
		}
		if len(d.Errors) > 0 && d.Effect != audit.Deny {
			t.Fatalf("%s with errors %q", d.Effect, d.Errors)
		}
		if (d.Effect == audit.Hold) != (d.Expires != nil) {
			t.Fatalf("%s expires %v", d.Effect, d.Expires)
		}
		if d.Effect != audit.Deny && !slices.Contains(set.Visible(r.Links, r.Scopes), r.Tool) {
			t.Fatalf("%s of a tool that is not visible", d.Effect)
		}
		if d.Effect == audit.Hold {
			r.Approvals = policy.Approvals{Count: policy.TopApprovals, Roles: []string{"lead"}}
			if lifted := mustDecide(t, set, r); lifted.Effect != audit.Allow {
				t.Fatalf("a hold that everybody approved is %s", lifted.Effect)
			}
		}
	})
}
