package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/httpapi"
)

func TestErasingOverHTTP(t *testing.T) {
	t.Parallel()
	r := start(t)
	id, other := r.call("a broken kettle"), r.call("a teapot")
	asked := r.call("ask for a spoon")
	r.indexed()
	whole := `{"scope":{"principal":"alice"},"reason":"ticket 4711"}`
	one := `{"scope":{"call_id":"` + id + `"},"reason":"ticket 4711"}`
	for name, test := range map[string]struct {
		who, body string
		want      int
	}{
		"no policy permits it": {"carol", one, http.StatusForbidden},
		"an agent, for a lead": {"copilot", one, http.StatusForbidden},
		"nobody":               {"", one, http.StatusUnauthorized},
		"no reason":            {"bob", `{"scope":{"principal":"alice"}}`, http.StatusBadRequest},
		"no scope":             {"bob", `{"scope":{},"reason":"x"}`, http.StatusBadRequest},
		"a time that is none":  {"bob", `{"scope":{"since":"soon"},"reason":"x"}`, http.StatusBadRequest},
		"a call that is none":  {"bob", `{"scope":{"call_id":"c-1"},"reason":"x"}`, http.StatusNotFound},
		"an unknown member":    {"bob", `{"scope":{"principal":"alice","tool":"x"},"reason":"x"}`, http.StatusBadRequest},
	} {
		if resp := r.request(test.who, http.MethodPost, "/v1/erasures", test.body); resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.want)
		}
	}
	if resp := r.request("carol", http.MethodPost, "/v1/erasure-preview", whole); resp.StatusCode != http.StatusForbidden {
		t.Errorf("carol is shown what an erasure would erase: %d", resp.StatusCode)
	}
	would := answer[httpapi.Erasure](r, r.request("bob", http.MethodPost, "/v1/erasure-preview", whole), http.StatusOK)
	if would.Calls != 3 || would.Payloads != 5 || would.Cancelled != 1 || would.Open != 0 || would.Bytes == 0 {
		t.Errorf("it would erase %+v; want three calls, and cancel the held one %s", would, asked)
	}
	done := answer[httpapi.Erasure](r, r.request("bob", http.MethodPost, "/v1/erasures", one), http.StatusOK)
	if done.Calls != 1 || done.Payloads != 2 {
		t.Errorf("erased are %+v", done)
	}
	r.indexed()
	for word, want := range map[string]int{"kettle": 0, "teapot": 1} {
		if list := get[httpapi.List[httpapi.CallSummary]](r, "bob", "/v1/calls?q="+word); len(list.Items) != want {
			t.Errorf("%s finds %d calls, want %d", word, len(list.Items), want)
		}
	}
	d := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	if !d.Erased.Arguments || !d.Erased.Output || d.Arguments != nil || strings.Contains(string(d.Output), "kettle") {
		t.Errorf("after erasing it is %+v", d)
	}
	if d := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+other); d.Erased.Arguments || d.Erased.Output {
		t.Errorf("the other call: %+v", d.Erased)
	}
	said := r.erasures(t)
	if len(said) != 1 || said[0].By.Principal != "bob" || said[0].Reason != "ticket 4711" || len(said[0].Calls) != 1 || said[0].Calls[0] != id {
		t.Errorf("on record are %+v", said)
	}
	report, err := verify.Verify(t.Context(), recorded{r.Log}, verify.Options{})
	if err != nil || !report.OK() || report.Erased != 2 || report.Unerased != 0 {
		t.Errorf("verified: %+v, %v", report, err)
	}
}

// A held call whose arguments are erased is cancelled, and nobody can approve what is gone.
func TestErasingCancelsWhatWaitsForPeople(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("ask for a kettle")
	r.indexed()
	one := `{"scope":{"call_id":"` + id + `"},"reason":"ticket 4711"}`
	done := answer[httpapi.Erasure](r, r.request("bob", http.MethodPost, "/v1/erasures", one), http.StatusOK)
	if done.Calls != 1 || done.Payloads != 1 || done.Cancelled != 1 || done.Open != 0 {
		t.Errorf("erased are %+v", done)
	}
	d := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	if d.Outcome != "cancelled" || d.Code != audit.CodeErased || !strings.Contains(d.Reason, "ticket 4711") || !d.Erased.Arguments {
		t.Errorf("it is %+v", d)
	}
	if resp := r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", `{"verdict":"approve","digest":"`+d.Digest+`"}`); resp.StatusCode != http.StatusConflict {
		t.Errorf("it can be approved: %s", resp.Status)
	}
	again := answer[httpapi.Erasure](r, r.request("bob", http.MethodPost, "/v1/erasures", one), http.StatusOK)
	if again.Calls != 1 || again.Cancelled != 0 {
		t.Errorf("a second time: %+v", again)
	}
	report, err := verify.Verify(t.Context(), recorded{r.Log}, verify.Options{})
	if err != nil || !report.OK() || report.Unerased != 0 {
		t.Errorf("verified: %+v, %v", report, err)
	}
}

// recorded is a log that erases on record only.
type recorded struct{ verify.Source }

func (recorded) ErasesOnRecord() bool { return true }

func (r *rig) erasures(t *testing.T) []audit.Erasure {
	t.Helper()
	var all []audit.Erasure
	for record, err := range r.Log.Read(t.Context(), "") {
		must(t, err)
		e, err := record.Event()
		must(t, err)
		if e.Type == audit.PayloadsErased {
			data, err := audit.DataOf[audit.Erasure](e)
			must(t, err)
			all = append(all, data)
		}
	}
	return all
}

func TestWhatIsUnderALegalHoldIsNotErased(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("a broken kettle")
	r.indexed()
	hold := `{"scope":{"principal":"alice","agent":"copilot"},"reason":"case 17"}`
	for who, want := range map[string]int{"carol": http.StatusForbidden, "copilot": http.StatusForbidden, "": http.StatusUnauthorized} {
		if resp := r.request(who, http.MethodPost, "/v1/legal-holds", hold); resp.StatusCode != want {
			t.Errorf("a hold by %q: %d, want %d", who, resp.StatusCode, want)
		}
	}
	for _, bad := range []string{`{"scope":{},"reason":"x"}`, `{"scope":{"principal":"alice"},"reason":" "}`} {
		if resp := r.request("bob", http.MethodPost, "/v1/legal-holds", bad); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, resp.StatusCode)
		}
	}
	placed := answer[httpapi.LegalHold](r, r.request("bob", http.MethodPost, "/v1/legal-holds", hold), http.StatusOK)
	if list := get[httpapi.List[httpapi.LegalHold]](r, "bob", "/v1/legal-holds"); len(list.Items) != 1 || list.Items[0] != placed {
		t.Errorf("listed are %+v, want %+v", list, placed)
	}
	if list := get[httpapi.List[httpapi.LegalHold]](r, "erin", "/v1/legal-holds"); len(list.Items) != 0 {
		t.Errorf("erin is told of %+v", list)
	}
	one := `{"scope":{"call_id":"` + id + `"},"reason":"ticket 4711"}`
	would := answer[httpapi.Erasure](r, r.request("bob", http.MethodPost, "/v1/erasure-preview", one), http.StatusOK)
	if would.Calls != 0 || len(would.Held) != 1 || would.Held[0].Hold.ID != placed.ID {
		t.Errorf("it would erase %+v", would)
	}
	if resp := r.request("bob", http.MethodPost, "/v1/erasures", one); resp.StatusCode != http.StatusForbidden {
		t.Errorf("erasing what is held: %d", resp.StatusCode)
	}
	if said := r.erasures(t); len(said) != 0 {
		t.Errorf("on record are erasures %+v", said)
	}
	refused := false
	for record, err := range r.Log.Read(t.Context(), "") {
		must(t, err)
		refused = refused || strings.Contains(string(record.Stored), `"legal-hold","effect":"forbid"`)
	}
	if !refused {
		t.Error("that it was refused is not on record")
	}
	if resp := r.request("carol", http.MethodDelete, "/v1/legal-holds/"+placed.ID, ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("carol may lift: %d", resp.StatusCode)
	}
	answer[httpapi.Lifted](r, r.request("bob", http.MethodDelete, "/v1/legal-holds/"+placed.ID+"?reason=closed", ""), http.StatusOK)
	if done := answer[httpapi.Erasure](r, r.request("bob", http.MethodPost, "/v1/erasures", one), http.StatusOK); done.Calls != 1 {
		t.Errorf("after the lifting, erased are %+v", done)
	}
	d := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	at, err := audit.ParsePosition(d.Events[0].Position)
	must(t, err)
	if _, err := r.Log.Payload(t.Context(), at, audit.PayloadArguments); !errors.Is(err, audit.ErrErased) {
		t.Errorf("the arguments: %v", err)
	}
}
