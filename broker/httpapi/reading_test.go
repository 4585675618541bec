package httpapi_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

// Who opens a call, or looks for what was in one, is on record before they see it, once
// in a few minutes; whoever reads of their own calls, or only lists, is not.
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

// readings are what is on record of somebody's looks, but for who it was.
func (r *rig) readings(of ...string) (all []audit.Reading) {
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
