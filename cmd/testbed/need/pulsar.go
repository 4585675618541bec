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
	dir := ownDir(tb)
	s := standalone(tb, dir, overrides)
	endKilled(tb, s.Kill)
	return s
}

// PulsarCluster starts a cluster whose nodes the test may kill. It is gone when the test
// is over.
func PulsarCluster(tb testing.TB) *pulsar.Cluster {
	tb.Helper()
	dir := ownDir(tb)
	c, err := pulsar.NewCluster(tb.Context(), distribution(tb, dir), dir)
	if err != nil {
		tb.Fatal(err)
	}
	endKilled(tb, c.Kill)
	if err := c.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return c
}

// ownDir is a directory in which the testbed finds what is left running, should this
// process be killed.
func ownDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp(servers(tb), "own-pulsar-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

func endKilled(tb testing.TB, kill func(context.Context) error) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := kill(context.WithoutCancel(tb.Context())); err != nil {
			tb.Errorf("kill Pulsar: %v", err)
		}
	})
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
	s, err := pulsar.NewStandalone(tb.Context(), distribution(tb, dir), dir, overrides)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func distribution(tb testing.TB, dir string) *pulsar.Distribution {
	tb.Helper()
	d, err := pulsar.Installed(tb.Context(), &provide.Cache{Dir: filepath.Dir(dir)}, Env(tb, PulsarHome))
	if err != nil {
		tb.Fatal(err)
	}
	return d
}
