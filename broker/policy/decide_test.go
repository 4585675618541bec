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
		@id("b") permit (principal in Role::"support", action in Action::"call", resource);
		@id("a") permit (principal is User, action in Action::"call", resource);
		@id("f") @reason("no") forbid (principal is Agent, action in Action::"call", resource) when { context.input.amount == 7 };
		@id("g") forbid (principal is Agent, action in Action::"call", resource) when { context.input.amount > 6 };`, refund())
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

func TestPermitsThatNeedApprovalsHold(t *testing.T) {
	t.Parallel()
	set := compile(t, `
		@id("two") @approvers("security, lead") @expires("2d") permit (principal is User, action in Action::"call", resource)
		when { context.approvals.count >= 2 && context.approvals.roles.contains("security") };
		@id("agents") permit (principal is Agent, action in Action::"call", resource);
		@id("big") @approvers("lead") @expires("1h") forbid (principal, action in Action::"call", resource)
		when { context.input.amount > 100 && context.approvals.count < 1 };`, refund())
	tests := []struct {
		amount    int
		approvals policy.Approvals
		want      audit.Effect
		policies  []string
		expires   time.Duration
	}{
		{1, policy.Approvals{}, audit.Hold, []string{"two"}, 48 * time.Hour},
		{101, policy.Approvals{}, audit.Hold, []string{"big", "big", "two"}, time.Hour},
		{101, policy.Approvals{Count: 1, Roles: []string{"lead"}}, audit.Hold, []string{"two"}, 48 * time.Hour},
		{101, policy.Approvals{Count: 2, Roles: []string{"lead"}}, audit.Hold, []string{"two"}, 48 * time.Hour},
		{101, policy.Approvals{Count: 2, Roles: []string{"lead", "security"}}, audit.Allow, []string{"two", "agents"}, 0},
	}
	for _, test := range tests {
		r := request(t, fmt.Sprintf(`{"amount":%d}`, test.amount))
		r.Approvals = test.approvals
		d := decide(t, set, r)
		var policies []string
		for _, reason := range d.Reasons {
			policies = append(policies, reason.Policy)
		}
		if d.Effect != test.want || !cmp.Equal(policies, test.policies) {
			t.Errorf("%d %v: %s by %q, want %s by %q", test.amount, test.approvals, d.Effect, policies, test.want, test.policies)
		}
		if d.Expires != nil && !d.Expires.Equal(noon.Add(test.expires)) {
			t.Errorf("%d %v: expires %v, want after %v", test.amount, test.approvals, d.Expires, test.expires)
		}
		if d.Effect == audit.Hold && !cmp.Equal(d.Approvers, []string{"lead", "security"}) && test.amount == 101 && test.approvals.Count == 0 {
			t.Errorf("approvers %q, want lead and security", d.Approvers)
		}
	}
}

func TestNothingLiftsWhatApprovalsCannot(t *testing.T) {
	t.Parallel()
	const held = `@id("held") @approvers("lead") forbid (principal, action in Action::"call", resource) unless { context.approvals.count >= 1 };`
	for name, text := range map[string]string{
		"another forbid":    `@id("ok") permit (principal, action in Action::"call", resource); @id("hard") forbid (principal, action in Action::"call", resource);` + held,
		"no permit":         held,
		"one link alone":    `@id("ok") permit (principal is User, action in Action::"call", resource);` + held,
		"an error":          `@id("ok") permit (principal, action in Action::"call", resource); @id("hard") forbid (principal, action in Action::"call", resource) when { context.input.amount * 9223372036854775807 > 0 };` + held,
		"an error when top": `@id("ok") permit (principal, action in Action::"call", resource); @id("hard") forbid (principal, action in Action::"call", resource) when { context.approvals.count * 9000000000000000 < 0 };` + held,
	} {
		if got := decide(t, compile(t, text, refund()), request(t, `{"amount":2}`)).Effect; got != audit.Deny {
			t.Errorf("%s: %s, want deny", name, got)
		}
	}
}

func TestDefaultTimeLimit(t *testing.T) {
	t.Parallel()
	const text = `permit (principal, action in Action::"call", resource); forbid (principal, action in Action::"call", resource) unless { context.approvals.count >= 1 };`
	for limit, want := range map[time.Duration]time.Duration{0: policy.DefaultHold, time.Minute: time.Minute} {
		set, findings := policy.Compile(file(text), []policy.Tool{refund()}, policy.Options{DefaultHold: limit})
		if findings.Err() != nil {
			t.Fatal(findings)
		}
		d := decide(t, set, request(t, `{}`))
		if d.Expires == nil || !d.Expires.Equal(noon.Add(want)) || d.Approvers != nil {
			t.Errorf("limit %v: %+v, want %v and any approver", limit, d, want)
		}
	}
}

func TestNoPermitDenies(t *testing.T) {
	t.Parallel()
	got := decide(t, compile(t, `permit (principal is User, action in Action::"call", resource);`, refund()), request(t, `{}`))
	want := audit.Decision{Effect: audit.Deny, Reasons: []audit.Reason{
		{Policy: "p.cedar#1", Effect: "permit", Link: `User::"alice"`},
		{Effect: "none", Link: `Agent::"copilot"`},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPolicyThatErrsDeniesAndKeepsArgumentsOut(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action in Action::"call", resource);
		@id("sum") forbid (principal is User, action in Action::"call", resource) when { context.input.amount + 9000000000000000000 > 7 };`, refund())
	got := decide(t, set, request(t, `{"amount":8765432109876543210}`))
	if diff := cmp.Diff([]string{`policy sum on User::"alice": integer overflow`}, got.Errors); got.Effect != audit.Deny || diff != "" {
		t.Errorf("%s: %s", got.Effect, diff)
	}
	got = decide(t, set, request(t, `{}`)) // not what the schema requires
	if diff := cmp.Diff([]string{"policy sum on User::\"alice\": record does not have the attribute `amount`"}, got.Errors); got.Effect != audit.Deny || diff != "" {
		t.Errorf("%s: %s", got.Effect, diff)
	}
}

func TestWhatPoliciesSee(t *testing.T) {
	t.Parallel()
	r := request(t, `{"amount":1,"rate":1.5,"tags":["a","b"],"urgent":true,"to":{"bank":"x","country":"DE"}}`)
	r.Links = append(r.Links, policy.Link{Kind: policy.Agent, ID: "sub", Roles: []string{"support"}})
	r.ACR = "mfa"
	alone := r
	alone.Links = []policy.Link{copilot()}
	alone.ACR = ""
	tests := []struct {
		condition string
		r         policy.Request
		want      bool
	}{
		{`context.input.amount == 1`, r, true},
		{`context.input has rate && context.input.rate.lessThan(decimal("1.5001"))`, r, true},
		{`context.input has tags && context.input.tags == ["b", "a"]`, r, true},
		{`context.input has urgent && context.input.urgent`, r, true},
		{`context.input has to && context.input.to has country && context.input.to.country == "DE"`, r, true},
		{`context.input has memo`, r, false},
		{`context.text like "*\"urgent\":true*"`, r, true},
		{`context.chain has user && context.chain.user == User::"alice" && context.chain.depth == 2`, r, true},
		{`context.chain.agents.containsAll([Agent::"copilot", Agent::"sub"])`, r, true},
		{`context.chain has actor && context.chain.actor == Agent::"copilot"`, r, true},
		{`context.chain has user`, alone, false},
		{`context.chain has user && context.chain.user in Role::"support" && context.chain.user.id == "alice"`, r, true},
		{`Agent::"copilot".id == "copilot" && Agent::"sub" in Role::"support"`, r, true},
		{`context.token.scopes.contains("tools") && context.token has acr && context.token.acr == "mfa"`, r, true},
		{`context.token has acr`, alone, false},
		{`context.now == datetime("2026-11-24T12:00:00Z") && context.token.expires > context.now`, r, true},
		{`context.tool.destructive && context.tool.openWorld && !context.tool.readOnly && !context.tool.idempotent && context.tool.name == "refund"`, r, true},
		{`principal.id like "*"`, r, true},
		{`resource == Upstream::"payments" && resource in Domain::"payments" && action in Action::"payments" && action in Action::"call"`, r, true},
		{`context.approvals.count == 0 && context.approvals.roles == context.token.scopes`, r, false},
	}
	for _, test := range tests {
		set := compile(t, `permit (principal, action == Action::"payments.refund", resource) when { `+test.condition+` };`)
		if got := decide(t, set, test.r).Effect == audit.Allow; got != test.want {
			t.Errorf("%s: %t, want %t", test.condition, got, test.want)
		}
	}
}

func TestReadOnlyToolIsNotDestructive(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action in Action::"call", resource) when { context.tool.readOnly && !context.tool.destructive };`)
	r := request(t, `{}`)
	r.Tool = "payments.balance"
	if got := decide(t, set, r).Effect; got != audit.Allow {
		t.Errorf("balance: %s", got)
	}
	r.Tool = "payments.refund"
	if got := decide(t, set, r).Effect; got != audit.Deny {
		t.Errorf("refund: %s", got)
	}
}

func TestRequestsThatCannotBeDecidedAreDenied(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action in Action::"call", resource);`)
	change := func(f func(*policy.Request)) policy.Request {
		r := request(t, `{"amount":1}`)
		f(&r)
		return r
	}
	for want, r := range map[string]policy.Request{
		`tool "payments.none" is not in the policy set`:         change(func(r *policy.Request) { r.Tool = "payments.none" }),
		`decide: there is no link`:                              change(func(r *policy.Request) { r.Links = nil }),
		`decide: a link of the chain is neither user nor agent`: change(func(r *policy.Request) { r.Links[1].Kind = 0 }),
		`decide: a link of the chain has no id`:                 change(func(r *policy.Request) { r.Links[0].ID = "" }),
		`decide: the time is missing`:                           change(func(r *policy.Request) { r.Now = time.Time{} }),
	} {
		d, err := set.Decide(r)
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if d.Effect != audit.Deny || !cmp.Equal(d.Errors, []string{want}) || d.PolicySet != set.Digest() {
			t.Errorf("%s: decision %+v", want, d)
		}
	}
}

func TestMayLift(t *testing.T) {
	t.Parallel()
	named := audit.Decision{Approvers: []string{"lead", "security"}}
	for _, test := range []struct {
		hold  audit.Decision
		roles []string
		want  bool
	}{
		{named, []string{"support", "security"}, true},
		{named, []string{"support"}, false},
		{named, nil, false},
		{audit.Decision{}, nil, true},
	} {
		if got := policy.MayLift(test.hold.Approvers, test.roles); got != test.want {
			t.Errorf("%v by %v: %t", test.hold.Approvers, test.roles, got)
		}
	}
}
