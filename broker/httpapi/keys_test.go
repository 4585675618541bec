package httpapi_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/httpapi"
)

// Who trusts an earlier key of the log is led to the one that signs now.
func TestTheKeyOfTheLogIsToldWithItsRotations(t *testing.T) {
	t.Parallel()
	r := start(t)
	if got := get[httpapi.Keys](r, "alice", "/v1/keys"); got.Key != r.key.Verifier().String() || len(got.Rotations) != 0 {
		t.Errorf("the keys are %+v", got)
	}
	before, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "before"), "acme")
	must(t, err)
	rotation, err := before.HandOver(r.key.Verifier())
	must(t, err)
	e := audittest.NewEvent(audit.KeyRotated, "", rotation)
	e.Domain = audit.OwnDomain
	_, err = r.Log.Append(t.Context(), e)
	must(t, err)
	want := httpapi.Keys{Key: r.key.Verifier().String(), Rotations: []audit.Rotation{rotation}}
	got := get[httpapi.Keys](r, "alice", "/v1/keys")
	for t.Context().Err() == nil && len(got.Rotations) == 0 { // it is read back a moment later
		got = get[httpapi.Keys](r, "alice", "/v1/keys")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if next, err := seal.OpenRotation(got.Rotations[0], before.Verifier()); err != nil || next.String() != got.Key {
		t.Errorf("the rotation leads to %s: %v", next, err)
	}
}
