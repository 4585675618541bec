package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/audit/seal"
)

// embeddedHistory is a data directory with a sealed history of so many calls.
func embeddedHistory(t *testing.T, data, tenant string, calls int) (key string) {
	t.Helper()
	l, err := embedded.Open(t.Context(), data, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.CreateKey(filepath.Join(data, "keys", "checkpoints.key"), tenant)
	if err != nil {
		t.Fatal(err)
	}
	source := "deed://" + tenant + "/main"
	put := func(e audit.Event) {
		t.Helper()
		e.Tenant, e.Source = tenant, source
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	by := audittest.Identity()
	put(audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: k.Verifier().String()}))
	put(audittest.NewEvent(audit.CallerRevoked, "", audit.Revocation{Kind: "agent", Value: "rogue", By: &by}))
	for range calls {
		id := audittest.NewID()
		put(audittest.Intent(id, `{"amount":1}`))
		put(audittest.Result(id, `{"ok":true}`))
	}
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: k, Tenant: tenant, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	if err := sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return k.Verifier().String()
}

// TestAHistoryIsMovedToARealPulsar moves one, is killed while it does, goes on, and proves
// both parts together.
func TestAHistoryIsMovedToARealPulsar(t *testing.T) {
	t.Parallel()
	to := pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments"}})
	h := newHome(t)
	data, place := filepath.Join(string(h), "data"), filepath.Join(string(h), "archive")
	key := embeddedHistory(t, data, to.Name, 20)
	yaml := fmt.Sprintf(`
tenant: %s
data: data
issuers: [{ url: "https://idp.example" }]
policies: [none.cedar]
log: { pulsar: { url: "%s", admin: "%s", auth: { token_file: "%s" } } }
domains: { payments: { partitions: 1 } }
`, to.Name, to.URL, to.Admin, to.TokenFile)
	if err := os.WriteFile(filepath.Join(string(h), "deed.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	move := []string{"migrate", data, "--archive", place}
	h.must(t, append(move, "--dry-run"), "would move", "20 calls", "carry over 1 events")

	running, err := embedded.Open(t.Context(), data, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, said, code := h.run(t, move...); code == 0 || !strings.Contains(said, "another deed is running") {
		t.Errorf("beside a broker: exit code %d: %s", code, said)
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}

	p := h.start(t, move...)
	awaitFile(t, filepath.Join(place, "manifest.json"))
	p.kill(t) // while it opens the new log, or writes to it
	h.must(t, move, "payments/calls ended at 40 records", "moved: 1 events in force were carried over")
	h.must(t, move, "payments/calls ended at 40 records") // does nothing
	proof := []string{"verify", "--pulsar", to.URL, "--tenant", to.Name, "--token-file", to.TokenFile, "--domain", "payments", "--key", key}
	out := h.must(t, append(proof, "--archive", place), "verified: ", "20 calls, 0 findings", "goes on from another log")
	if n := strings.Count(out, "goes on from another log"); n != 1 {
		t.Errorf("it is on record %d times:\n%s", n, out)
	}
	h.must(t, proof, "verified: ")
	h.must(t, []string{"verify", data, "--key", key}, "this log has ended", "verified: ")
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	patient, tick := time.After(patience), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		_, err := os.Stat(path)
		if err == nil {
			return
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		select {
		case <-patient:
			t.Fatalf("%s is never there", path)
		case <-tick.C:
		}
	}
}
