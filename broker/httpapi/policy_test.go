package httpapi_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return string(b)
}

func TestThePolicyIsShownToThoseWhoMayReadIt(t *testing.T) {
	t.Parallel()
	r := start(t)
	p := get[httpapi.Policy](r, "bob", "/v1/policy")
	if len(p.Files) != 1 || p.Files[0].Text != policies || len(p.Files[0].SHA256) != 64 {
		t.Errorf("files %+v", p.Files)
	}
	var held []string
	for _, i := range p.Policies {
		if len(i.Approvers) > 0 {
			held = append(held, i.ID)
		}
		if i.ID == "ask-a-lead" && (i.Effect != "forbid" || i.Line == 0 || i.Expires != 900 || i.Reason != "Somebody has to look.") {
			t.Errorf("policy %+v", i)
		}
	}
	if diff := cmp.Diff([]string{"ask-a-lead", "two-leads"}, held); diff != "" {
		t.Errorf("policies that hold (-want +got):\n%s", diff)
	}
}

func TestAToolNamesThePoliciesThatHaveASay(t *testing.T) {
	t.Parallel()
	r := start(t)
	about := func(who string) map[string][]string {
		all := map[string][]string{}
		for _, tool := range get[httpapi.List[httpapi.Tool]](r, who, "/v1/tools").Items {
			all[tool.Name] = tool.Policies
		}
		return all
	}
	got := about("bob")
	if !slices.Contains(got["desk.wipe"], "two-leads") || !slices.Contains(got["desk.wipe"], "support-calls") || slices.Contains(got["desk.wipe"], "ask-a-lead") || !slices.Contains(got["desk.echo"], "ask-a-lead") {
		t.Errorf("who reads the policies is told %v", got)
	}
	if got := about("carol"); len(got["desk.wipe"]) != 0 {
		t.Errorf("who does not is told %v", got)
	}
}

func TestPoliciesAreTriedWithoutACall(t *testing.T) {
	t.Parallel()
	r := start(t)
	before := get[httpapi.Overview](r, "bob", "/v1/overview").Total
	try := func(change func(*httpapi.Trial)) httpapi.TrialVerdict {
		trial := httpapi.Trial{Principal: "alice", Roles: []string{"support"}, Agents: []httpapi.TrialAgent{{ID: "copilot"}}, Tool: "desk.echo", Arguments: []byte(`{"text":"hi"}`)}
		change(&trial)
		return answer[httpapi.TrialVerdict](r, r.request("bob", http.MethodPost, "/v1/policy/try", encoded(t, trial)), http.StatusOK)
	}
	if v := try(func(*httpapi.Trial) {}); v.Effect != "allow" || v.PolicySet != r.Policies.Set().Digest() {
		t.Errorf("a call that is allowed: %+v", v)
	}
	if v := try(func(c *httpapi.Trial) { c.Arguments = []byte(`{"text":"secret"}`) }); v.Effect != "deny" || !strings.Contains(v.Text, "Secrets stay here") {
		t.Errorf("a call that is denied: %+v", v)
	}
	if v := try(func(c *httpapi.Trial) { c.Tool, c.Arguments = "desk.wipe", nil }); v.Effect != "hold" || v.Needed != 2 || !cmp.Equal(v.Approvers, []string{"lead"}) || v.Expires.IsZero() {
		t.Errorf("a call that is held: %+v", v)
	}
	if v := try(func(c *httpapi.Trial) {
		c.Tool, c.Arguments, c.Approvals, c.ApproverRoles = "desk.wipe", nil, 2, []string{"lead"}
	}); v.Effect != "allow" {
		t.Errorf("with two approvals: %+v", v)
	}
	if v := try(func(c *httpapi.Trial) { c.Principal, c.Roles = "mallory", nil }); v.Effect != "deny" {
		t.Errorf("for nobody: %+v", v)
	}
	tried := r.readings("bob")
	if len(tried) != 4 || tried[0].What != audit.ReadTrial || !strings.Contains(tried[0].For, "agent=copilot&arguments=") || !strings.HasSuffix(tried[0].For, "&principal=alice&tool=desk.echo") {
		t.Errorf("on record of what was tried: %+v", tried)
	}
	draft := []httpapi.PolicyFile{{Name: "draft.cedar", Text: `permit (principal, action == Action::"desk.wipe", resource);`}}
	if v := try(func(c *httpapi.Trial) { c.Tool, c.Arguments, c.Files = "desk.wipe", nil, draft }); v.Effect != "allow" || v.PolicySet == r.Policies.Set().Digest() {
		t.Errorf("by a draft: %+v", v)
	}
	draft[0].Text = `permit (principal, action == Action::"desk.echo", resource) when { context.input.txet == "a" };`
	if v := try(func(c *httpapi.Trial) { c.Files = draft }); v.Effect != "" || len(v.Findings) != 1 || v.Findings[0].Severity != "error" || v.Findings[0].Line != 1 {
		t.Errorf("by a draft that does not fit the tool: %+v", v)
	}
	for trial, want := range map[string]int{
		`{"tool":"desk.nothing","principal":"alice"}`:                             http.StatusNotFound,
		`{"tool":"desk.echo","principal":"alice","arguments":{"text":7}}`:         http.StatusBadRequest,
		`{"tool":"desk.echo","principal":"alice","arguments":{"text":"a"},"x":1}`: http.StatusBadRequest,
		`{"tool":"desk.echo","arguments":{"text":"a"}}`:                           http.StatusBadRequest,
	} {
		answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/policy/try", trial), want)
	}
	for _, who := range []string{"alice", "carol", "copilot"} {
		answer[httpapi.Problem](r, r.request(who, http.MethodPost, "/v1/policy/try", `{"tool":"desk.echo","principal":"alice"}`), http.StatusForbidden)
		answer[httpapi.Problem](r, r.request(who, http.MethodPost, "/v1/policy/replay", `{"files":[{"name":"a","text":""}]}`), http.StatusForbidden)
	}
	if diff := cmp.Diff(before, get[httpapi.Overview](r, "bob", "/v1/overview").Total); diff != "" {
		t.Errorf("trying left calls behind (-want +got):\n%s", diff)
	}
}

func TestADraftIsTriedOnTheLastCalls(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.call("hello")
	r.call("hello")
	r.call("secret")
	id := r.call("ask nicely")
	replay := func(text string) httpapi.Replay {
		request := httpapi.ReplayRequest{Files: []httpapi.PolicyFile{{Name: "draft.cedar", Text: text}}}
		return answer[httpapi.Replay](r, r.request("bob", http.MethodPost, "/v1/policy/replay", encoded(t, request)), http.StatusOK)
	}
	if same := replay(policies); !same.OK || same.Calls != 4 || same.Same != 4 || len(same.Changes) != 0 {
		t.Errorf("the policies in force: %+v", same)
	}
	looser := strings.ReplaceAll(policies, `like "ask*"`, `== "ask me"`)
	got := replay(looser)
	if !got.OK || got.Calls != 4 || got.Same != 3 || len(got.Changes) != 1 {
		t.Fatalf("a looser draft: %+v", got)
	}
	c := got.Changes[0]
	if c.From != "held" || c.To != "allowed" || c.Calls != 1 || !cmp.Equal(c.Tools, []httpapi.Tally{{Name: "desk.echo", Calls: 1}}) || len(c.Examples) != 1 || c.Examples[0].CallID != id {
		t.Errorf("the change: %+v", c)
	}
	counted := policies + `
@id("once") @recent("echoes: count desk.echo by principal in 24h")
forbid (principal, action == Action::"desk.echo", resource) when { context.recent.echoes >= 1 };`
	if got := replay(counted); !got.OK || len(got.Changes) != 2 || got.Same != 2 {
		t.Errorf("a draft that counts: %+v", got)
	}
	if got := r.readings("bob"); len(got) != 3 || got[0].What != audit.ReadReplay || !strings.HasPrefix(got[0].For, "days=7&draft=") {
		t.Errorf("on record of the drafts: %+v", got)
	}
	if bad := replay(`permit (principal`); bad.OK || len(bad.Findings) != 1 || bad.Findings[0].Severity != "error" {
		t.Errorf("a draft that is none: %+v", bad)
	}
	answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/policy/replay", `{"files":[{"name":"a","text":""}],"days":32}`), http.StatusBadRequest)
}
