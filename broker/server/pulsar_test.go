package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
)

// onPulsar keeps the rig's log on a tenant of its own.
func onPulsar(t *testing.T, r *rig) *rig {
	t.Helper()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments"}, Partitions: 2})
	r.log = fmt.Sprintf("tenant: %s\nlog: { pulsar: { url: %q, admin: %q, auth: { token_file: %s } } }\n", tenant.Name, tenant.URL, tenant.Admin, tenant.TokenFile)
	return r
}

// TestServesOnPulsar: a held call stays held when the server is started again; another
// one runs, and its arguments are read back.
func TestServesOnPulsar(t *testing.T) {
	t.Parallel()
	rig := onPulsar(t, newRig(t))
	r := rig.start(t)
	held, err := r.copilot(t).Call(t.Context(), "payments.refund", []byte(`{"payment":"pay-1002","amount":120,"reason":"x"}`), client.CallOptions{})
	if err != nil || held.Pending == nil {
		t.Fatalf("not held: %+v, %v", held, err)
	}
	r.stop(t)
	r = rig.start(t)
	if state, outcome := r.state(t, held.CallID); state != "held" {
		t.Errorf("after the restart the call is %s %s", state, outcome)
	}
	done, err := r.copilot(t).Call(t.Context(), "payments.refund", []byte(`{"payment":"pay-1002","amount":20,"reason":"broken"}`), client.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bob := r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead"))
	if code, body := r.get(t, "/v1/calls/"+done.CallID, bob); code != http.StatusOK || !strings.Contains(body, "broken") {
		t.Errorf("HTTP %d, and the arguments are not in %s", code, body)
	}
	if code, body := r.get(t, "/readyz", ""); code != http.StatusOK {
		t.Errorf("readyz: HTTP %d: %s", code, body)
	}
}
