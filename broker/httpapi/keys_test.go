package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/httpapi"
)

// Who trusts an earlier key of the log is led to the one that signs now. Only people whom
// policy permits it rotate it.
func TestTheKeyOfTheLogIsRotatedAndToldWithItsRotations(t *testing.T) {
	t.Parallel()
	r := start(t)
	first := r.key.Verifier()
	if got := get[httpapi.Keys](r, "alice", "/v1/keys"); got.Key != first.String() || len(got.Rotations) != 0 {
		t.Errorf("the keys are %+v", got)
	}
	for who, want := range map[string]int{"carol": http.StatusForbidden, "copilot": http.StatusForbidden} {
		if resp := r.request(who, http.MethodPost, "/v1/keys/rotations", `{"reason":"yearly"}`); resp.StatusCode != want {
			t.Errorf("%s rotates the key: %s", who, resp.Status)
		}
	}
	if resp := r.request("bob", http.MethodPost, "/v1/keys/rotations", `{"reason":" "}`); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without a reason: %s", resp.Status)
	}
	second := follow(t, first, answer[httpapi.Keys](r, r.request("bob", http.MethodPost, "/v1/keys/rotations", `{"reason":"yearly"}`), http.StatusOK), 1)
	third := follow(t, first, answer[httpapi.Keys](r, r.request("bob", http.MethodPost, "/v1/keys/rotations", `{"reason":"once more"}`), http.StatusOK), 2)
	if third == second || third != follow(t, first, get[httpapi.Keys](r, "alice", "/v1/keys"), 2) {
		t.Errorf("the second rotation leads from %s to %s", second, third)
	}
}

// follow is where n rotations lead from a key.
func follow(t *testing.T, from seal.Verifier, keys httpapi.Keys, n int) string {
	t.Helper()
	if len(keys.Rotations) != n {
		t.Fatalf("there are %d rotations, want %d", len(keys.Rotations), n)
	}
	for _, r := range keys.Rotations {
		var err error
		from, err = seal.OpenRotation(rotation(r), from)
		must(t, err)
	}
	return from.String()
}

func rotation(r httpapi.KeyRotation) audit.Rotation {
	return audit.Rotation{Old: r.Old, New: r.New, Note: r.Note}
}
