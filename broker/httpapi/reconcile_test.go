package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/broker/httpapi"
)

// TestAnUnknownCallIsReconciledOnce finds a call in the log that another replica left unknown.
func TestAnUnknownCallIsReconciledOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := audittest.NewID()
	crash := audittest.NewEvent(audit.CallUnknown, id, audit.Outcome{Code: audit.CodeCrash, Reason: "the broker stopped"})
	for _, e := range []audit.Event{audittest.Intent(id, `{"amount":5}`), crash} {
		e.Domain = "desk"
		_, err := r.Log.Append(t.Context(), e)
		must(t, err)
	}
	r.indexed()
	path := "/v1/calls/" + id
	if list := get[summaries](r, "bob", "/v1/calls?outcome=unknown"); len(list.Items) != 1 || list.Items[0].CallID != id {
		t.Errorf("unknown calls = %+v", list)
	}
	if d := get[httpapi.CallDetail](r, "bob", path); d.Outcome != "unknown" || d.Reconciled != nil || len(d.Events) != 2 || string(d.Arguments) != `{"amount":5}` {
		t.Errorf("unknown call = %+v", d)
	}
	const found = `{"happened":true,"note":"the ledger has it"}`
	answer[httpapi.Problem](r, r.request("carol", http.MethodPost, path+"/reconciliation", found), http.StatusForbidden)
	answer[httpapi.Problem](r, r.request("erin", http.MethodPost, path+"/reconciliation", found), http.StatusNotFound)
	answer[httpapi.Problem](r, r.request("copilot", http.MethodPost, path+"/reconciliation", found), http.StatusNotFound)
	d := answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, path+"/reconciliation", found), http.StatusOK)
	if d.Reconciled == nil || !d.Reconciled.Happened || d.Reconciled.By != "bob" {
		t.Errorf("reconciled call = %+v", d.Reconciled)
	}
	r.indexed()
	d = get[httpapi.CallDetail](r, "carol", path)
	if d.Reconciled == nil || d.Reconciled.Note != "the ledger has it" || len(d.Events) != 3 {
		t.Errorf("reconciled call = %+v", d)
	}
	again := answer[httpapi.Problem](r, r.request("bob", http.MethodPost, path+"/reconciliation", found), http.StatusConflict)
	if again.Kind != "conflict" {
		t.Errorf("again: %+v", again)
	}
}

// TestWhatWasErasedIsSaidToBeErased removes the payloads of a call and shows it.
func TestWhatWasErasedIsSaidToBeErased(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("hello")
	r.indexed()
	for _, e := range get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id).Events {
		at, err := audit.ParsePosition(e.Position)
		must(t, err)
		for _, name := range []string{audit.PayloadArguments, audit.PayloadOutput} {
			if err := r.Log.Erase(t.Context(), at, name); err != nil && !errors.Is(err, audit.ErrNotFound) {
				t.Fatal(err)
			}
		}
	}
	d := get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id)
	if !d.Erased.Arguments || !d.Erased.Output || !d.ArgumentsErased || d.Arguments != nil || d.Output != nil {
		t.Errorf("erased call = %+v", d)
	}
	if len(d.Events) != 2 || !strings.Contains(string(d.Events[0].Event), `"sha256"`) {
		t.Errorf("its events are gone: %+v", d.Events)
	}
}
