package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/deedbroker/deed/broker/httpapi"
)

func TestRevokingOverHTTP(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, test := range map[string]struct {
		who, body string
		want      int
	}{
		"no policy permits it":  {"carol", `{"kind":"agent","value":"copilot","reason":"x"}`, http.StatusForbidden},
		"an agent, for a lead":  {"copilot", `{"kind":"agent","value":"copilot","reason":"x"}`, http.StatusForbidden},
		"nobody":                {"", `{"kind":"agent","value":"copilot","reason":"x"}`, http.StatusUnauthorized},
		"no reason":             {"bob", `{"kind":"agent","value":"copilot"}`, http.StatusBadRequest},
		"an unknown kind":       {"bob", `{"kind":"planet","value":"mars","reason":"x"}`, http.StatusBadRequest},
		"an unknown member":     {"bob", `{"kind":"agent","value":"copilot","reason":"x","force":true}`, http.StatusBadRequest},
		"a token itself":        {"bob", `{"kind":"token","value":"aaa.bbb.ccc","reason":"x"}`, http.StatusBadRequest},
		"an end that is none":   {"bob", `{"kind":"agent","value":"copilot","reason":"x","until":"soon"}`, http.StatusBadRequest},
		"an end that has been":  {"bob", `{"kind":"agent","value":"copilot","reason":"x","until":"2020-01-01T00:00:00Z"}`, http.StatusBadRequest},
		"a key of every issuer": {"bob", `{"kind":"key","value":"k-1","reason":"x"}`, http.StatusBadRequest},
	} {
		if resp := r.request(test.who, http.MethodPost, "/v1/revocations", test.body); resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.want)
		}
	}
	made := answer[httpapi.Revocation](r, r.request("bob", http.MethodPost, "/v1/revocations", `{"kind":"agent","value":"copilot","reason":"it went wild"}`), http.StatusOK)
	if made.ID == "" || made.By != "bob" || made.Via != "person" || made.Reason != "it went wild" || !made.Until.IsZero() {
		t.Errorf("made is %+v", made)
	}
	if list := get[httpapi.List[httpapi.Revocation]](r, "bob", "/v1/revocations"); len(list.Items) != 1 || list.Items[0].ID != made.ID {
		t.Errorf("listed are %+v", list)
	}
	if list := get[httpapi.List[httpapi.Revocation]](r, "erin", "/v1/revocations"); len(list.Items) != 0 {
		t.Errorf("erin is told of %+v", list)
	}
	if resp := r.request("carol", http.MethodDelete, "/v1/revocations/"+made.ID, ""); resp.StatusCode != http.StatusForbidden {
		t.Errorf("carol may lift: %d", resp.StatusCode)
	}
	for range 2 {
		resp := r.request("bob", http.MethodDelete, "/v1/revocations/"+made.ID+"?reason=mended", "")
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
			t.Errorf("lifting: %d", resp.StatusCode)
		}
	}
	if list := get[httpapi.List[httpapi.Revocation]](r, "bob", "/v1/revocations"); len(list.Items) != 0 {
		t.Errorf("after the lifting there are %+v", list)
	}
}
