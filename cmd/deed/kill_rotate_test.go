package main

import (
	"context"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/server"
)

// TestKilledWhileTheKeyIsRotated kills the broker at moments around the record of a rotation,
// with calls going on. Each time it goes on with the key that the log names, and whoever has
// kept the first key still verifies all of it.
func TestKilledWhileTheKeyIsRotated(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.demo(t)
	first, err := seal.ParseVerifier(b.VerifierKey)
	if err != nil {
		t.Fatal(err)
	}
	log, err := logDir(h.data())
	if err != nil {
		t.Fatal(err)
	}
	file, err := embedded.OpenReadOnly(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // read only
	for n, delay := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond} {
		if _, err := b.agent.Call(t.Context(), "payments.accounts", nil, callOptions()); err != nil {
			t.Fatal(err)
		}
		b.killWhileRotating(t, file, n+1, delay)
		b = b.again(t)
		if _, err := b.agent.Call(t.Context(), "payments.accounts", nil, callOptions()); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := b.bob.Keys(t.Context())
	if err != nil || len(keys.Rotations) != 4 || keys.Key != keys.Rotations[3].New {
		t.Fatalf("the keys are %+v: %v", keys, err)
	}
	b.stop(t, syscall.SIGTERM) // seals what is left
	inFile, err := seal.LoadKey(filepath.Join(h.data(), server.KeyFile))
	if err != nil || inFile.Verifier().String() != keys.Key {
		t.Errorf("the file has another key than %s: %v", keys.Key, err)
	}
	last := inFile.Verifier()
	for _, trusted := range []seal.Verifier{first, last} {
		report, err := verify.Verify(t.Context(), file, verify.Options{Keys: []seal.Verifier{trusted}})
		if err != nil || !report.OK() {
			t.Errorf("with %s: %v, %v", trusted, report, err)
		}
	}
}

// killWhileRotating kills the broker some time after the n-th rotation is on record.
func (b *runningDemo) killWhileRotating(t *testing.T, file *embedded.Reader, n int, delay time.Duration) {
	t.Helper()
	rotating := make(chan struct{})
	go func() {
		defer close(rotating)
		_, _ = b.bob.RotateKey(context.WithoutCancel(t.Context()), httpapi.NewKeyRotation{Reason: "yearly"}) // the broker may die before it answers
	}()
	awaitControl(t, file, audit.KeyRotated, n)
	<-time.After(delay)
	b.kill(t)
	<-rotating
}
