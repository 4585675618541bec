package httpapi_test

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/httpapi"
)

// Everybody is shown as much of a call as policy lets them read, and told what is withheld.
func TestACallIsShownUpToTheTierThatOneMayRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("marmalade")
	r.ended(id)
	const metadataOnly = "withheld: policy lets you read metadata only"
	for name, tt := range map[string]struct {
		who, query        string
		tier, may         string
		arguments, output bool
		withheld          httpapi.Withheld
	}{
		"all":                       {"carol", "", "results", "results", true, true, httpapi.Withheld{}},
		"one's own":                 {"alice", "", "results", "results", true, true, httpapi.Withheld{}},
		"no results":                {"gina", "", "arguments", "arguments", true, false, httpapi.Withheld{Output: "withheld: policy lets you read metadata and arguments, not results"}},
		"metadata":                  {"frank", "", "metadata", "metadata", false, false, httpapi.Withheld{Arguments: metadataOnly, Output: metadataOnly}},
		"asking for more":           {"frank", "?tier=results", "metadata", "metadata", false, false, httpapi.Withheld{Arguments: metadataOnly, Output: metadataOnly}},
		"asking for less":           {"carol", "?tier=arguments", "arguments", "results", true, false, httpapi.Withheld{Output: "not asked for: tier=results shows it"}},
		"asking for metadata alone": {"carol", "?tier=metadata", "metadata", "results", false, false, httpapi.Withheld{Arguments: "not asked for: tier=arguments shows it", Output: "not asked for: tier=results shows it"}},
	} {
		d := get[httpapi.CallDetail](r, tt.who, "/v1/calls/"+id+tt.query)
		if d.Tier != tt.tier || d.MayRead != tt.may || (d.Arguments != nil) != tt.arguments || (d.Output != nil) != tt.output {
			t.Errorf("%s: shown up to %s of %s, arguments %s, output %s", name, d.Tier, d.MayRead, d.Arguments, d.Output)
		}
		if p := d.OnRecord; (p.Arguments != nil) != tt.arguments || (p.Output != nil) != tt.output || (p.Asked != nil || p.Justification != nil) {
			t.Errorf("%s: the salts of %+v are told", name, p) // of what is shown, and of nothing else
		}
		if diff := gocmp.Diff(tt.withheld, d.Withheld); diff != "" {
			t.Errorf("%s: withheld (-want +got):\n%s", name, diff)
		}
		if len(d.Events) != 2 {
			t.Errorf("%s: %d events", name, len(d.Events))
		}
	}
	answer[httpapi.Problem](r, r.request("carol", http.MethodGet, "/v1/calls/"+id+"?tier=everything", ""), http.StatusBadRequest)
	want := []audit.Reading{
		{What: audit.ReadCall, Call: id, Tier: "arguments"}, {What: audit.ReadCall, Call: id, Tier: "arguments"}, {What: audit.ReadCall, Call: id, Tier: "results"},
	}
	got := r.readings("carol", "gina", "frank", "alice")
	slices.SortFunc(got, func(a, b audit.Reading) int { return cmp.Compare(a.Tier, b.Tier) })
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("on record (-want +got):\n%s", diff)
	}
}

// Who may not read arguments does not find calls by them either, whole or in part, by the
// number of pages or by their names.
func TestSearchTellsNothingOfArgumentsThatOneMayNotRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	for range 3 {
		r.call("marmalade")
	}
	id := r.call("ask marmalade") // held by the policy ask-a-lead
	r.indexed()
	for query, want := range map[string]map[string]int{
		"q=marmalade":              {"carol": 4, "gina": 4, "frank": 0, "alice": 4},
		"q=marm*":                  {"carol": 4, "gina": 4, "frank": 0, "alice": 4},
		"q=marmalade+ask-a-lead":   {"carol": 1, "gina": 1, "frank": 0, "alice": 1},
		"arg=text%3Dmarmalade":     {"carol": 3, "gina": 3, "frank": 0, "alice": 3},
		"q=ask-a-lead":             {"carol": 1, "gina": 1, "frank": 1, "alice": 1},
		"q=desk.echo&person=alice": {"carol": 4, "gina": 4, "frank": 4, "alice": 4},
	} {
		for who, n := range want {
			list := get[summaries](r, who, "/v1/calls?limit=1&"+query)
			found := len(list.Items)
			if n == 0 && list.Next != "" {
				t.Errorf("%s learns that there are calls for %s", who, query)
			}
			for list.Next != "" {
				list = get[summaries](r, who, "/v1/calls?limit=1&"+query+"&cursor="+list.Next)
				found += len(list.Items)
			}
			if found != n {
				t.Errorf("%s finds %d calls by %s, want %d", who, found, query, n)
			}
		}
	}
	held := get[httpapi.List[httpapi.HeldCall]](r, "frank", "/v1/calls?state=held").Items
	if len(held) != 1 || held[0].CallID != id || held[0].Arguments != nil || held[0].Sentence != nil || held[0].ArgumentsErased || !strings.HasPrefix(held[0].Withheld.Arguments, "withheld: ") {
		t.Errorf("the held call as metadata: %+v", held)
	}
	if d := get[httpapi.CallDetail](r, "frank", "/v1/calls/"+id); d.Arguments != nil || d.Sentence != nil || d.Asked != nil {
		t.Errorf("the held call as metadata: %+v", d)
	}
	held = get[httpapi.List[httpapi.HeldCall]](r, "bob", "/v1/calls?state=held").Items
	if len(held) != 1 || held[0].Arguments == nil || !held[0].MayVote {
		t.Errorf("the held call to one who decides on it: %+v", held)
	}
	for _, look := range r.readings("frank") {
		if look.Tier != "" { // but what they looked for
			t.Errorf("of one who saw no arguments is on record: %+v", look)
		}
	}
	if got := r.readings("bob"); len(got) != 0 {
		t.Errorf("of one who decides is on record: %+v", got)
	}
	get[httpapi.List[httpapi.HeldCall]](r, "gina", "/v1/calls?state=held")
	got := r.readings("gina")
	if last := got[len(got)-1]; last.What != audit.ReadSearch || last.Tier != "arguments" || last.For != "state=held" {
		t.Errorf("on record: %+v", got)
	}
}

// What a draft makes of calls tells what they were made with.
func TestPoliciesAreNotTriedOnArgumentsThatOneMayNotRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.call("marmalade")
	r.indexed()
	draft := encoded(t, httpapi.ReplayRequest{Files: []httpapi.PolicyFile{{Name: "d.cedar", Text: policies}}})
	all := answer[httpapi.Replay](r, r.request("bob", http.MethodPost, "/v1/policy/replay", draft), http.StatusOK)
	_, err := r.Activate(t.Context(), brokertest.Files(policies+`forbid (principal == User::"bob", action == Action::"read", resource is Call) when { context.tier == Tier::"arguments" };`))
	must(t, err)
	some := answer[httpapi.Replay](r, r.request("bob", http.MethodPost, "/v1/policy/replay", draft), http.StatusOK)
	if all.Calls != 1 || some.Calls != 0 || len(some.Skipped) != 1 || some.Skipped[0].Calls != 1 || !strings.Contains(some.Skipped[0].Name, "may not read") {
		t.Errorf("decided again: %+v, and without arguments %+v", all, some)
	}
}
