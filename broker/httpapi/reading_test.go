package httpapi_test

import (
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
	var got []audit.Reading
	for rec, err := range r.Log.Read(t.Context(), "") {
		must(t, err)
		e, err := rec.Event()
		must(t, err)
		if e.Type != audit.HistoryRead {
			continue
		}
		data, err := audit.DataOf[audit.Reading](e)
		must(t, err)
		if data.By.Principal != "carol" {
			t.Errorf("%+v is on record", data)
		}
		data.By = audit.Identity{}
		got = append(got, data)
	}
	want := []audit.Reading{{What: audit.ReadCall, Call: id}, {What: audit.ReadSearch, For: "q=hello"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("on record (-want +got):\n%s", diff)
	}
}
