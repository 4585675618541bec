package main

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestDemoOnPulsarAsANewcomerSeesIt plays the demo to its end with its log on a Pulsar,
// proves what it left by the command that it prints, and finds that nothing stays behind.
func TestDemoOnPulsarAsANewcomerSeesIt(t *testing.T) {
	cache := t.TempDir() // with the distribution in it already
	if err := os.Symlink(filepath.Dir(need.Env(t, need.PulsarHome)), filepath.Join(cache, "deed")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", cache)
	h := newHome(t)
	p := h.start(t, "demo", "--pulsar", "--listen", "127.0.0.1:0", "--issuer-listen", "127.0.0.1:0")
	url := strings.TrimSuffix(strings.Fields(p.until(t, "people look at"))[3], "/")
	at := func(args ...string) []string { return append(args, "--as", "bob", "--url", url) }
	held := strings.Fields(p.until(t, "deed deny"))[2]
	h.must(t, at("approve", held, "--yes"), "call "+held+" of payments.refund is ")
	p.until(t, "APPROVED, and run:")
	verify := strings.Fields(p.until(t, "deed verify --pulsar"))
	verify = verify[slices.Index(verify, "verify"):]
	key := strings.Fields(p.until(t, "--key"))
	p.until(t, "VERIFIED")
	p.until(t, "Stop it with ctrl-C")
	h.must(t, at("show", held), "approved  by bob", "state     closed: result", `"amount": 120`)
	h.must(t, slices.Concat(verify, key), "payments/calls", "3 calls (0 open)", "verified: ")
	if code, said := p.stop(t, os.Interrupt); code != 0 || said != "" {
		t.Errorf("ctrl-C: exit code %d, and it says %q", code, said)
	}
	server := strings.TrimPrefix(verify[slices.Index(verify, "--pulsar")+1], "pulsar://")
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", server); err == nil {
		_ = c.Close()
		t.Errorf("Pulsar still listens at %s", server)
	}
}
