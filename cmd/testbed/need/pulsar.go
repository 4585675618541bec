package need

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
)

// SharedPulsar is a running Pulsar that many tests use at the same time: each keeps to
// a tenant of its own, and none of them stops it.
type SharedPulsar struct {
	URL   string // pulsar://host:port
	Admin string // http://host:port
	Keys  pulsar.Keys
}

// use keeps the shared servers from being stopped for as long as this process lives.
var use = sync.OnceValue(func() error {
	servers := &provide.Servers{Dir: os.Getenv(Servers)}
	return servers.Use(context.Background())
})

// Pulsar returns the Pulsar that tests share. The first test that asks starts it; the
// testbed stops it.
func Pulsar(tb testing.TB) SharedPulsar {
	tb.Helper()
	if url := os.Getenv(PulsarURL); url != "" {
		return SharedPulsar{URL: url, Admin: Env(tb, PulsarAdmin), Keys: pulsar.Keys{Dir: Env(tb, PulsarKeys)}}
	}
	s := standalone(tb, filepath.Join(servers(tb), "pulsar"), nil)
	return SharedPulsar{URL: s.URL(), Admin: s.Admin(), Keys: s.Keys}
}

// OwnPulsar starts a Pulsar that the test may kill or configure as it likes. It is
// gone when the test is over.
func OwnPulsar(tb testing.TB, overrides map[string]string) *pulsar.Standalone {
	tb.Helper()
	dir, err := os.MkdirTemp(servers(tb), "own-pulsar-") //nolint:usetesting // where the testbed finds what a killed process leaves
	if err != nil {
		tb.Fatal(err)
	}
	// The testbed looks for what is left in there, should this process be killed.
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	s := standalone(tb, dir, overrides)
	tb.Cleanup(func() {
		if err := s.Kill(context.WithoutCancel(tb.Context())); err != nil {
			tb.Errorf("kill Pulsar: %v", err)
		}
	})
	return s
}

// servers is the directory of the servers, which stay from now on.
func servers(tb testing.TB) string {
	tb.Helper()
	dir := Env(tb, Servers)
	if err := use(); err != nil {
		tb.Fatal(err)
	}
	return dir
}

func standalone(tb testing.TB, dir string, overrides map[string]string) *pulsar.Standalone {
	tb.Helper()
	d, err := pulsar.Installed(tb.Context(), &provide.Cache{Dir: filepath.Dir(dir)}, Env(tb, PulsarHome))
	if err != nil {
		tb.Fatal(err)
	}
	s, err := pulsar.NewStandalone(tb.Context(), d, dir, overrides)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}
