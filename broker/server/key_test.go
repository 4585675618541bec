package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/broker/server"
)

// Whoever is to verify the log later finds its public key beside it.
func TestTheVerifierKeyIsLeftBesideTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	running := r.start(t)
	got, err := os.ReadFile(filepath.Join(r.dir, "data", server.KnownPubKey))
	if err != nil {
		t.Fatal(err)
	}
	if want := running.VerifierKey(); strings.TrimSpace(string(got)) != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}
