package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/httpapi"
)

type (
	summaries = httpapi.List[httpapi.CallSummary]
	holds     = httpapi.List[httpapi.HeldCall]
)

func TestAHeldCallIsShownDecidedAndRemembered(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("ask nicely")
	list := get[holds](r, "bob", "/v1/calls?state=held")
	if len(list.Items) != 1 {
		t.Fatalf("held calls = %+v", list)
	}
	h := list.Items[0]
	if h.CallID != id || h.State != "held" || !h.MayVote || string(h.Arguments) != `{"text":"ask nicely"}` || h.Effect != "hold" ||
		h.Principal != "alice" || h.Actor != "copilot" || h.Client != "test" || h.Expires.IsZero() || !cmp.Equal(h.Approvers, []string{"lead"}) {
		t.Errorf("held call = %+v", h)
	}
	if mine := get[holds](r, "alice", "/v1/calls?state=held"); len(mine.Items) != 1 || mine.Items[0].MayVote || mine.Items[0].WhyNot == "" {
		t.Errorf("alice sees %+v", mine)
	}
	if none := get[holds](r, "erin", "/v1/calls?state=held"); len(none.Items) != 0 {
		t.Errorf("erin sees %+v", none)
	}

	vote := fmt.Sprintf(`{"verdict":"approve","digest":%q,"reason":"known customer"}`, h.Digest)
	for who, want := range map[string]int{"alice": http.StatusForbidden, "copilot": http.StatusForbidden, "carol": http.StatusForbidden} {
		p := answer[httpapi.Problem](r, r.request(who, http.MethodPost, "/v1/calls/"+id+"/approvals", vote), want)
		if p.Kind != "denied" || p.CallID != id || len(p.Reasons) == 0 {
			t.Errorf("%s: %+v", who, p)
		}
	}
	wrong := strings.Replace(vote, h.Digest, strings.Repeat("0", 64), 1)
	if p := answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", wrong), http.StatusConflict); p.Kind != "conflict" {
		t.Errorf("a vote on other arguments: %+v", p)
	}
	voted := answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", vote), http.StatusOK)
	if len(voted.Votes) != 1 || voted.Votes[0].By != "bob" || voted.Votes[0].Reason != "known customer" {
		t.Errorf("after the vote: %+v", voted)
	}
	r.ended(id)

	d := get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id)
	if d.State != "closed" || d.Outcome != "result" || d.Code != "ok" || !strings.Contains(string(d.Output), "ask nicely") || d.MayVote {
		t.Errorf("closed call = %+v", d)
	}
	var types []string
	for _, e := range d.Events {
		types = append(types, strings.Split(strings.SplitN(string(e.Event), `"type":"`, 2)[1], `"`)[0])
	}
	want := []string{
		"dev.deed.call.intent.v1", "dev.deed.call.vote-refused.v1", "dev.deed.call.vote-refused.v1", "dev.deed.call.vote-refused.v1",
		"dev.deed.call.approval.v1", "dev.deed.call.released.v1", "dev.deed.call.result.v1",
	}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	events := r.Log.Read(t.Context(), "")
	stored := map[string]string{}
	for rec, err := range events {
		must(t, err)
		stored[rec.Position.String()] = string(rec.Stored)
	}
	for _, e := range d.Events {
		if string(e.Event) != stored[e.Position] {
			t.Errorf("event at %s is not as it is stored:\n%s\n%s", e.Position, e.Event, stored[e.Position])
		}
	}
	late := answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", strings.Replace(vote, "approve", "deny", 1)), http.StatusConflict)
	if late.Kind != "conflict" {
		t.Errorf("a vote too late: %+v", late)
	}
}

func TestACallIsApprovedWithOtherArguments(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("ask rudely")
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	approvals := "/v1/calls/" + id + "/approvals"
	for body, want := range map[string]int{
		`{"verdict":"deny","digest":%q,"reason":"no","arguments":{"text":"hm"}}`: http.StatusBadRequest,
		`{"verdict":"approve","digest":%q,"arguments":{"text":7}}`:               http.StatusBadRequest,
		`{"verdict":"approve","digest":%q,"arguments":{"text":"secret"}}`:        http.StatusForbidden,
	} {
		answer[httpapi.Problem](r, r.request("bob", http.MethodPost, approvals, fmt.Sprintf(body, h.Digest)), want)
	}
	d := answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, approvals,
		fmt.Sprintf(`{"verdict":"approve","digest":%q,"reason":"be kind","arguments":{"text":"ask kindly"}}`, h.Digest)), http.StatusOK)
	if d.State != "held" || len(d.Edits) != 1 || d.Edits[0].By != "bob" || d.Edits[0].Reason != "be kind" || d.Edits[0].Previous != h.Digest || d.Digest != d.Edits[0].Digest {
		t.Errorf("edited, the call is %+v", d)
	}
	if string(d.Arguments) != `{"text":"ask kindly"}` || string(d.Asked) != `{"text":"ask rudely"}` {
		t.Errorf("it asks for %s, was %s", d.Arguments, d.Asked)
	}
	answer[httpapi.CallDetail](r, r.request("dora", http.MethodPost, approvals, fmt.Sprintf(`{"verdict":"approve","digest":%q}`, d.Digest)), http.StatusOK)
	r.ended(id)
	after := get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id)
	if after.Outcome != "result" || !strings.Contains(string(after.Output), "ask kindly") || string(after.Asked) != `{"text":"ask rudely"}` || len(after.Votes) != 2 {
		t.Errorf("after it ran: %+v", after)
	}
}

func TestADenialReachesTheHistory(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("ask twice")
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	noReason := fmt.Sprintf(`{"verdict":"deny","digest":%q}`, h.Digest)
	if p := answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", noReason), http.StatusBadRequest); p.Kind != "invalid" {
		t.Errorf("a denial without a reason: %+v", p)
	}
	deny := fmt.Sprintf(`{"verdict":"deny","digest":%q,"reason":"not today"}`, h.Digest)
	d := answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", deny), http.StatusOK)
	if d.State != "closed" || d.Outcome != "denied" || d.Code != "approver" || d.Reason != "not today" {
		t.Errorf("denied call = %+v", d)
	}
}

func TestAHeldCallCanBeWithdrawnByItsOwnersOnly(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, owner := range []string{"copilot", "alice"} {
		id := r.call("ask " + owner)
		for _, stranger := range []string{"bob", "carol", "erin"} {
			answer[httpapi.Problem](r, r.request(stranger, http.MethodDelete, "/v1/calls/"+id, ""), http.StatusNotFound)
		}
		d := answer[httpapi.CallDetail](r, r.request(owner, http.MethodDelete, "/v1/calls/"+id+"?reason=changed+my+mind", ""), http.StatusOK)
		if d.State != "closed" || d.Outcome != "cancelled" || d.Reason != "changed my mind" {
			t.Errorf("withdrawn by %s: %+v", owner, d)
		}
		answer[httpapi.Problem](r, r.request(owner, http.MethodDelete, "/v1/calls/"+id, ""), http.StatusConflict)
	}
}

func TestHistoryShowsWhatTheViewerMayRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	allowed, denied := r.call("hello"), r.call("secret")
	r.indexed()
	for who, want := range map[string][]string{
		"bob": {denied, allowed}, "carol": {denied, allowed}, // their domain
		"alice": {denied, allowed},            // their own
		"erin":  nil, "copilot": nil, "": nil, // nothing
	} {
		if who == "" {
			answer[httpapi.Problem](r, r.request("", http.MethodGet, "/v1/calls", ""), http.StatusUnauthorized)
			continue
		}
		var got []string
		for _, c := range get[summaries](r, who, "/v1/calls").Items {
			got = append(got, c.CallID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s sees (-want +got):\n%s", who, diff)
		}
		status := http.StatusOK
		if want == nil {
			status = http.StatusNotFound
		}
		if resp := r.request(who, http.MethodGet, "/v1/calls/"+allowed, ""); resp.StatusCode != status {
			t.Errorf("%s gets %d for the call, want %d", who, resp.StatusCode, status)
		}
	}
	for query, want := range map[string][]string{
		"?outcome=denied": {denied}, "?outcome=result": {allowed}, "?outcome=unknown": nil, "?q=hello": {allowed}, "?policy=no-secrets": {denied},
		"?code=policy": {denied}, "?agent=copilot&limit=1": {denied}, "?person=bob": nil, "?tool=desk.": {denied, allowed}, "?tool=desk.ech*": {denied, allowed},
		"?domain=desk": {denied, allowed}, "?domain=other": nil, "?state=running": nil, "?since=2200-01-01T00:00:00Z": nil, "?until=2020-01-01T00:00:00Z": nil,
	} {
		var got []string
		for _, c := range get[summaries](r, "carol", "/v1/calls"+query).Items {
			got = append(got, c.CallID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
	d := get[httpapi.CallDetail](r, "carol", "/v1/calls/"+denied)
	if d.Outcome != "denied" || d.Effect != "deny" || !cmp.Equal(d.Policies, []string{"no-secrets"}) || string(d.Arguments) != `{"text":"secret"}` {
		t.Errorf("denied call = %+v", d)
	}
}

func TestListsArePaged(t *testing.T) {
	t.Parallel()
	r := start(t)
	var want []string
	for n := range 7 {
		want = append([]string{r.call(fmt.Sprintf("hello %d", n))}, want...)
	}
	var asked []string
	for n := range 5 {
		asked = append(asked, r.call(fmt.Sprintf("ask %d", n)))
	}
	r.indexed()
	var got []string
	for cursor := ""; ; {
		page := get[summaries](r, "carol", "/v1/calls?outcome=result&limit=3&cursor="+cursor)
		for _, c := range page.Items {
			got = append(got, c.CallID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
		if len(page.Items) != 3 {
			t.Errorf("page of %d", len(page.Items))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	got = nil
	for cursor := ""; ; {
		page := get[holds](r, "bob", "/v1/calls?state=held&limit=2&cursor="+cursor)
		for _, c := range page.Items {
			got = append(got, c.CallID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(asked, got); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	agents := get[httpapi.List[httpapi.Agent]](r, "carol", "/v1/agents")
	if len(agents.Items) != 1 || agents.Items[0].Agent != "copilot" || agents.Items[0].Calls != 12 || agents.Items[0].Held != 5 {
		t.Errorf("agents = %+v", agents)
	}
	if none := get[httpapi.List[httpapi.Agent]](r, "erin", "/v1/agents"); len(none.Items) != 0 {
		t.Errorf("erin sees agents %+v", none)
	}
}

func TestProofsHold(t *testing.T) {
	t.Parallel()
	r := start(t)
	first := r.call("hello")
	must(t, r.sealer.Seal(t.Context()))
	before := get[httpapi.Checkpoint](r, "bob", "/v1/checkpoint?log=desk/calls")
	r.call("hello again")
	unsealed := answer[httpapi.Problem](r, r.request("bob", http.MethodGet, "/v1/proof/inclusion?position=desk/calls@3", ""), http.StatusConflict)
	if unsealed.RetryAfter != 1 {
		t.Errorf("a record that is not sealed: %+v", unsealed)
	}
	must(t, r.sealer.Seal(t.Context()))
	after := get[httpapi.Checkpoint](r, "bob", "/v1/checkpoint?log=desk/calls")
	earlier, _, err := seal.OpenCheckpoint(before.Note, r.key.Verifier())
	must(t, err)
	later, _, err := seal.OpenCheckpoint(after.Note, r.key.Verifier())
	must(t, err)

	c := get[httpapi.Consistency](r, "carol", fmt.Sprintf("/v1/proof/consistency?log=desk/calls&from=%d", before.Size))
	must(t, seal.Consistency{Log: c.Log, From: c.From, To: c.To, Path: c.Proof}.Check(earlier, later))
	r.indexed()
	for _, who := range []string{"carol", "alice"} { // alice for a record of her own
		p := get[httpapi.Inclusion](r, who, "/v1/proof/inclusion?position=desk/calls@0")
		d := get[httpapi.CallDetail](r, who, "/v1/calls/"+first)
		must(t, seal.Inclusion{Log: "desk/calls", Index: 0, Size: p.Size, Path: p.Proof}.Check(later, d.Events[0].Event))
		if p.LeafHash != tlog.RecordHash(d.Events[0].Event) || p.Checkpoint != after.Note {
			t.Errorf("inclusion = %+v", p)
		}
	}
	if all := get[httpapi.List[httpapi.Checkpoint]](r, "bob", "/v1/checkpoint"); len(all.Items) != 2 {
		t.Errorf("bob's checkpoints = %+v", all)
	}
	if all := get[httpapi.List[httpapi.Checkpoint]](r, "erin", "/v1/checkpoint"); len(all.Items) != 0 {
		t.Errorf("erin's checkpoints = %+v", all)
	}
	for path, want := range map[string]int{
		"/v1/checkpoint?log=desk/calls": 404, "/v1/proof/inclusion?position=desk/calls@0": 404, "/v1/proof/consistency?log=desk/calls&from=0": 404,
	} {
		if resp := r.request("erin", http.MethodGet, path, ""); resp.StatusCode != want {
			t.Errorf("erin gets %d for %s", resp.StatusCode, path)
		}
	}
	for path, want := range map[string]int{
		"/v1/proof/inclusion?position=desk/calls@99": 404, "/v1/proof/inclusion?position=x": 400, "/v1/proof/inclusion": 400,
		"/v1/proof/consistency?log=desk/calls": 400, "/v1/proof/consistency?log=desk/calls&from=9&to=3": 400, "/v1/proof/consistency?log=desk/calls&from=0&to=99": 400,
		"/v1/checkpoint?log=desk/nothing": 404, "/v1/checkpoint?log=/": 404,
	} {
		if resp := r.request("bob", http.MethodGet, path, ""); resp.StatusCode != want {
			t.Errorf("%s gives %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestToolsAndPolicy(t *testing.T) {
	t.Parallel()
	r := start(t)
	mine := get[httpapi.List[httpapi.Tool]](r, "alice", "/v1/tools")
	if len(mine.Items) != 6 || mine.Items[0].Name != "desk.echo" || mine.Items[0].WireName != "desk__echo" || !mine.Items[0].Visible || len(mine.Items[0].InputSchema) == 0 {
		t.Errorf("alice's tools = %+v", mine)
	}
	theirs := get[httpapi.List[httpapi.Tool]](r, "carol", "/v1/tools")
	if len(theirs.Items) != 6 || theirs.Items[0].Visible {
		t.Errorf("carol's tools = %+v", theirs)
	}
	if none := get[httpapi.List[httpapi.Tool]](r, "erin", "/v1/tools"); len(none.Items) != 0 {
		t.Errorf("erin's tools = %+v", none)
	}
	for viewer, want := range map[string]int{"alice": 1, "carol": 1, "erin": 0} {
		seen := get[httpapi.List[httpapi.Upstream]](r, viewer, "/v1/upstreams").Items
		if len(seen) != want || want > 0 && (seen[0].Upstream != "desk" || seen[0].Breaker != "closed" || seen[0].Health != "" || seen[0].Since.IsZero() || seen[0].Tools != 6) {
			t.Errorf("%s's upstreams = %+v, want %d", viewer, seen, want)
		}
	}
	p := get[httpapi.Policy](r, "bob", "/v1/policy")
	if p.PolicySet != r.Policies.Set().Digest() || !cmp.Equal([]string{p.Files[0].Name}, []string{"test.cedar"}) {
		t.Errorf("bob's policy = %+v", p)
	}
	if p := get[httpapi.Policy](r, "erin", "/v1/policy"); p.PolicySet == "" || len(p.Files) != 0 {
		t.Errorf("erin's policy = %+v", p)
	}
}
