package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

// Who opens a call, or looks for what was in one, is on record before they see it, once
// in a few minutes; whoever reads of their own calls is not.
func TestReadingIsRecorded(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("hello")
	r.ended(id)
	for range 2 {
		get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id)
		get[summaries](r, "carol", "/v1/calls?q=hello&limit=7")
	}
	get[httpapi.CallDetail](r, "alice", "/v1/calls/"+id)
	get[summaries](r, "carol", "/v1/calls?tool=desk.echo")
	get[summaries](r, "carol", "/v1/calls?export=ocsf&limit=7")
	answer[httpapi.Problem](r, r.request("carol", http.MethodGet, "/v1/calls?export=a+b", ""), http.StatusBadRequest)
	want := []audit.Reading{{What: audit.ReadCall, Call: id, Tier: "results"}, {What: audit.ReadSearch, For: "q=hello"}, {What: audit.ReadExport, For: "export=ocsf"}}
	if diff := cmp.Diff(want, r.readings("carol", "alice")); diff != "" {
		t.Errorf("on record (-want +got):\n%s", diff)
	}
}

// Who lists what others did is on record once in a while, whatever they list how often, and
// what they have fetched as it is stored; nobody is for their own calls.
func TestListsAreRecordedTogether(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("hello")
	held := r.call("ask somebody")
	r.ended(id)
	r.indexed()
	for range 3 {
		get[summaries](r, "carol", "/v1/calls?tool=desk.echo&limit=1")
		get[httpapi.List[httpapi.Agent]](r, "carol", "/v1/agents")
		get[httpapi.Overview](r, "carol", "/v1/overview")
		get[httpapi.List[httpapi.HeldCall]](r, "bob", "/v1/calls?state=held")
		get[httpapi.CallDetail](r, "bob", "/v1/calls/"+held)
		get[httpapi.CallDetail](r, "frank", "/v1/calls/"+id)
		get[summaries](r, "alice", "/v1/calls")
		get[httpapi.List[httpapi.HeldCall]](r, "alice", "/v1/calls?state=held")
		get[httpapi.CallDetail](r, "alice", "/v1/calls/"+id)
	}
	for who, want := range map[string][]audit.Reading{
		"carol": {{What: audit.ReadList, For: "tool=desk.echo"}, {What: audit.ReadList, For: "agents"}, {What: audit.ReadList, For: "overview"}},
		"bob":   {{What: audit.ReadList, For: "state=held", Tier: "arguments"}, {What: audit.ReadList, Call: held, Tier: "arguments"}},
		"frank": {{What: audit.ReadList, Call: id}},
		"alice": nil,
	} {
		if diff := cmp.Diff(want, r.browsed(who)); diff != "" {
			t.Errorf("of %s is on record (-want +got):\n%s", who, diff)
		}
	}
	for n := range 30 { // more than are told apart
		get[summaries](r, "carol", fmt.Sprintf("/v1/calls?agent=a%d", n))
	}
	if got := r.browsed("carol"); len(got) != 17 || got[16].For != "" {
		t.Errorf("of one who tries many lists is on record: %+v", got)
	}
}

// readings are what is on record of somebody's looks, but for who it was, and for lists.
func (r *rig) readings(of ...string) []audit.Reading {
	r.t.Helper()
	return slices.DeleteFunc(r.looks(of...), isBrowsed)
}

func (r *rig) browsed(of ...string) []audit.Reading {
	r.t.Helper()
	return slices.DeleteFunc(r.looks(of...), func(l audit.Reading) bool { return !isBrowsed(l) })
}

func isBrowsed(l audit.Reading) bool {
	return slices.Contains([]string{audit.ReadList, audit.ReadRecords, audit.ReadStream}, l.What)
}

func (r *rig) looks(of ...string) (all []audit.Reading) {
	r.t.Helper()
	for rec, err := range r.Log.Read(r.t.Context(), "") {
		must(r.t, err)
		e, err := rec.Event()
		must(r.t, err)
		if e.Type != audit.HistoryRead {
			continue
		}
		data, err := audit.DataOf[audit.Reading](e)
		must(r.t, err)
		if slices.Contains(of, data.By.Principal) {
			data.By = audit.Identity{}
			all = append(all, data)
		}
	}
	return all
}
