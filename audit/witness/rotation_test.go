package witness_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/audit/witness"
)

// rotate gives the key of the log a successor, and returns the key before.
func (h *history) rotate(t *testing.T) *seal.Key {
	t.Helper()
	before := h.key
	next, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), audittest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	r, err := before.HandOver(next.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	h.append(t, audittest.NewEvent(audit.KeyRotated, "", r))
	h.rotations, h.key = append(h.rotations, r), next
	h.sealer.Succeed(next, nil)
	return before
}

// A witness follows from the key that it was given to the one that seals, over a restart, and
// signs nothing more of the keys before: whoever has stolen one has nothing of it.
func TestAWitnessFollowsRotations(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	first := h.key.Verifier()
	w := newWitness(t, "one.example", first)
	h.call(t, 2)
	if err := h.round(t, 0, w.Client); err != nil {
		t.Fatal(err)
	}
	h.rotate(t)
	stolen := h.rotate(t)
	h.call(t, 2)
	if err := h.round(t, 0, w.Client); err != nil {
		t.Fatalf("after two rotations: %v", err)
	}
	w.stop(t)
	w.start(t)
	h.call(t, 2)
	known := h.rotations
	h.rotations = nil // it kept them
	if err := h.round(t, 0, w.Client); err != nil {
		t.Fatalf("after a restart: %v", err)
	}

	_, latest, _ := h.sealer.Latest("payments/calls")
	forged, err := stolen.Sign(latest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(t.Context(), latest.Size, nil, forged); !errors.Is(err, witness.ErrRefused) {
		t.Errorf("a checkpoint of a retired key: %v", err)
	}
	usurper, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), audittest.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := stolen.HandOver(usurper.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Introduce(t.Context(), []audit.Rotation{elsewhere}); !errors.Is(err, witness.ErrRefused) {
		t.Errorf("a rotation by a retired key: %v", err)
	}
	if err := w.Introduce(t.Context(), known); err != nil {
		t.Errorf("told again: %v", err)
	}

	if err := h.log.Close(); err != nil {
		t.Fatal(err)
	}
	h.key = nil
	report := h.verifyWith(t, first, verify.Options{Witnesses: []seal.WitnessKey{w.Key}})
	if !report.OK() || len(report.Keys) != 3 {
		t.Errorf("with the first key: %v, %v", report.Keys, report.Findings)
	}
}
