package policy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

func decide(t *testing.T, set *policy.Set, r policy.Request) audit.Decision {
	t.Helper()
	d, err := set.Decide(r)
	if err != nil {
		t.Fatalf("decide: %v", err)
	}
	if d.PolicySet != set.Digest() {
		t.Errorf("policy set = %q, want the digest", d.PolicySet)
	}
	d.PolicySet = ""
	return d
}

func TestBigRefundsAreHeldUntilTwoApproved(t *testing.T) {
	t.Parallel()
	set := compile(t, designPolicies)
	for _, amount := range []int{50, 100, 101} {
		for approvals := range 3 {
			r := request(t, fmt.Sprintf(`{"account":"a","amount":%d}`, amount))
			r.Approvals = policy.Approvals{Count: approvals, Roles: []string{"lead"}}
			want := audit.Allow
			if amount > 100 && approvals < 2 {
				want = audit.Hold
			}
			if got := decide(t, set, r).Effect; got != want {
				t.Errorf("amount %d with %d approvals: %s, want %s", amount, approvals, got, want)
			}
		}
	}
}

func TestHoldNamesWhatMadeTheDifference(t *testing.T) {
	t.Parallel()
	got := decide(t, compile(t, designPolicies), request(t, `{"account":"a","amount":101}`))
	expires := noon.Add(15 * time.Minute)
	text := "Refunds over 100 need two leads."
	want := audit.Decision{
		Effect: audit.Hold, Approvers: []string{"lead"}, Expires: &expires,
		Reasons: []audit.Reason{
			{Policy: "big-refunds-need-two", Effect: "forbid", Link: `Agent::"copilot"`, Text: text},
			{Policy: "big-refunds-need-two", Effect: "forbid", Link: `User::"alice"`, Text: text},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryDeterminingPolicyIsKept(t *testing.T) {
	t.Parallel()
	set := compile(t, `
		@id("b") permit (principal in Role::"support", action, resource);
		@id("a") permit (principal is User, action in Action::"call", resource);
		@id("f") @reason("no") forbid (principal is Agent, action, resource) when { context.input.amount == 7 };
		@id("g") forbid (principal is Agent, action, resource) when { context.input.amount > 6 };`, refund())
	got := decide(t, set, request(t, `{"amount":1}`))
	want := audit.Decision{Effect: audit.Allow, Reasons: []audit.Reason{
		{Policy: "a", Effect: "permit", Link: `User::"alice"`},
		{Policy: "b", Effect: "permit", Link: `User::"alice"`},
		{Policy: "b", Effect: "permit", Link: `Agent::"copilot"`},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = decide(t, set, request(t, `{"amount":7}`))
	want = audit.Decision{Effect: audit.Deny, Reasons: []audit.Reason{
		{Policy: "a", Effect: "permit", Link: `User::"alice"`},
		{Policy: "b", Effect: "permit", Link: `User::"alice"`},
		{Policy: "f", Effect: "forbid", Link: `Agent::"copilot"`, Text: "no"},
		{Policy: "g", Effect: "forbid", Link: `Agent::"copilot"`},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
