package httpapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/httpapi"
)

func TestTheOverviewTellsWhatHappenedLately(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.call("hello")
	r.call("secret")
	open := r.call("ask later")
	id := r.call("ask nicely")
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", fmt.Sprintf(`{"verdict":"approve","digest":%q}`, h.Digest)), http.StatusOK)
	r.ended(id)
	must(t, r.sealer.Seal(t.Context()))
	r.call("hello again") // not sealed

	for window, steps := range map[string]int{"": 60, "1h": 60, "6h": 60, "7d": 56, "30d": 60} {
		path := "/v1/overview"
		if window != "" {
			path += "?window=" + window
		}
		o := get[httpapi.Overview](r, "bob", path)
		want := httpapi.Counts{Calls: 5, Held: 2, Approved: 1, Results: 3, Denied: 1}
		if diff := cmp.Diff(want, o.Total); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		var sum int64
		for _, m := range o.Series {
			sum += m.Calls
		}
		if len(o.Series) != steps || sum != 5 || o.Until.Sub(o.Since) != time.Duration(steps)*time.Duration(o.Step)*time.Second || !o.Until.After(time.Now()) {
			t.Errorf("%s: %d steps of %d s with %d calls from %s to %s", path, len(o.Series), o.Step, sum, o.Since, o.Until)
		}
		if o.Decisions.Decided != 1 || o.Decisions.P50MS <= 0 || o.Decisions.P95MS < o.Decisions.P50MS {
			t.Errorf("%s: decisions %+v", path, o.Decisions)
		}
		if o.Open.Held != 1 || o.Open.Running != 0 || !o.Open.Next.Equal(get[httpapi.CallDetail](r, "bob", "/v1/calls/"+open).Expires) {
			t.Errorf("%s: open %+v", path, o.Open)
		}
	}
	if o := get[httpapi.Overview](r, "erin", "/v1/overview"); o.Total != (httpapi.Counts{}) || o.Open.Held != 0 || len(o.Log.Trees) != 0 {
		t.Errorf("erin, who may read nothing, sees %+v", o)
	}
	answer[httpapi.Problem](r, r.request("bob", http.MethodGet, "/v1/overview?window=2h", ""), http.StatusBadRequest)
}

func TestTheOverviewTellsHowTheLogFares(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.call("hello")
	must(t, r.sealer.Seal(t.Context()))
	r.call("hello again")
	r.indexed()
	r.ready = errors.New("the disk is full")
	log := get[httpapi.Overview](r, "bob", "/v1/overview").Log
	if log.BehindRecords != 0 || log.Newest.IsZero() || log.SealedAt.IsZero() {
		t.Errorf("log %+v", log)
	}
	if diff := cmp.Diff([]httpapi.CheckResult{{Name: "log", Detail: "the disk is full"}}, log.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	found := false
	for _, tree := range log.Trees {
		if tree.Log == "desk/calls" {
			found = tree.Records == 4 && tree.Sealed == 2 && !tree.Waits.IsZero()
		}
	}
	if !found {
		t.Errorf("trees %+v; want desk/calls with 2 of 4 records sealed", log.Trees)
	}
	if carols := get[httpapi.Overview](r, "carol", "/v1/overview").Log; len(carols.Trees) != 1 || len(carols.Warnings) != 0 {
		t.Errorf("carol, who may read the desk, sees %+v", carols)
	}
}
