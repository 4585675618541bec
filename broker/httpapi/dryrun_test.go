package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/deedbroker/deed/broker/httpapi"
)

// The rig has no dry run configured: the API says so to who may decide, and nothing to others.
func TestADryRunIsAskedForByWhoMayDecide(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.justified("ask me", "")
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	if h.DryRun {
		t.Error("it offers a dry run")
	}
	path, body := "/v1/calls/"+id+"/dry-run", `{"digest":"`+h.Digest+`"}`
	for who, status := range map[string]int{"bob": 404, "carol": 403, "erin": 404, "copilot": 404, "": 401} {
		answer[httpapi.Problem](r, r.request(who, http.MethodPost, path, body), status)
	}
	answer[httpapi.Problem](r, r.request("bob", http.MethodPost, path, `{}`), http.StatusConflict)
	answer[httpapi.Problem](r, r.request("bob", http.MethodPost, path, `{"digest":"`+h.Digest+`","arguments":{}}`), http.StatusBadRequest)
	answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/calls/x/dry-run", body), http.StatusNotFound)
}
