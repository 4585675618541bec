package server_test

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/audit/witness"
)

// TestHistoryIsWitnessed: a broker has its checkpoints signed by the witness that it is
// told of, shows the signatures, and the history that it leaves verifies by them.
func TestHistoryIsWitnessed(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	cosigner, err := seal.LoadOrCreateCosigner(filepath.Join(rig.dir, "witness", "key"), "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	late := httptest.NewUnstartedServer(nil)
	rig.log = fmt.Sprintf("witnesses: { every: 1s, servers: [{ url: 'http://%s', key: '%s' }] }\n", late.Listener.Addr(), cosigner.Key())
	r := rig.start(t)
	if _, err := r.copilot(t).Call(t.Context(), "payments.accounts", nil, client.CallOptions{}); err != nil {
		t.Fatalf("a call waits for the witness: %v", err)
	}
	key, err := note.NewVerifier(r.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	signs, err := witness.NewServer(filepath.Join(rig.dir, "signed"), cosigner, []witness.Log{{Key: key}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	late.Config.Handler = signs
	late.Start()
	t.Cleanup(func() {
		late.Close()
		if err := signs.Close(); err != nil {
			t.Error(err)
		}
	})
	reader := r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead"))
	deadline := time.Now().Add(patience)
	for body := ""; !strings.Contains(body, "— witness.example "); {
		if time.Now().After(deadline) {
			t.Fatalf("no witness signed: %s", body)
		}
		_, body = r.get(t, "/v1/checkpoint?log=payments/calls", reader)
	}
	r.stop(t)
	history, err := embedded.OpenReadOnly(t.Context(), filepath.Join(rig.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close() //nolint:errcheck // only read
	report, err := verify.Verify(t.Context(), history, verify.Options{Witnesses: []seal.WitnessKey{cosigner.Key()}})
	if err != nil || !report.OK() {
		t.Errorf("%+v, %v", report, err)
	}
}
