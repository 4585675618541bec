package provide_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/deedbroker/deed/cmd/provide"
)

// sleeper is a server that is ready once it has made a file, ends at SIGTERM and
// has a child of its own.
func sleeper(dir string) *provide.Process {
	return &provide.Process{
		Dir: dir, Command: []string{"/bin/sh", "-c", "echo started; sleep 600 & touch ready; wait"},
		Ready: func(context.Context) error { return provide.Exists(filepath.Join(dir, "ready")) },
	}
}

func pid(t *testing.T, p *provide.Process) int {
	t.Helper()
	n, err := p.Pid()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestProcessIsFoundAgainAndStopped(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "server")
	p, other := sleeper(dir), sleeper(dir)
	if pid(t, p) != 0 {
		t.Fatal("it runs before it was started")
	}
	var wg sync.WaitGroup
	for _, starting := range []*provide.Process{p, other} {
		wg.Go(func() {
			if err := starting.Start(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first := pid(t, p)
	if first == 0 || pid(t, other) != first {
		t.Errorf("two who start one server have processes %d and %d", first, pid(t, other))
	}
	for range 2 {
		if err := other.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if pid(t, p) != 0 {
			t.Error("it runs after it was stopped")
		}
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second := pid(t, p); second == 0 || second == first {
		t.Errorf("process %d after %d", second, first)
	}
	if err := p.Kill(t.Context()); err != nil || pid(t, p) != 0 {
		t.Errorf("killed: %v, pid %d", err, pid(t, p))
	}
}

// TestStalePidFile has the pid of a living process in it, as a crash of the machine
// leaves it when the number is in use again.
func TestStalePidFile(t *testing.T) {
	t.Parallel()
	p := sleeper(t.TempDir())
	if err := os.WriteFile(filepath.Join(p.Dir, "pid"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := pid(t, p); got != 0 {
		t.Fatalf("process %d is taken for the server", got)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProcessThatExitsShowsItsLastWords(t *testing.T) {
	t.Parallel()
	p := &provide.Process{
		Dir: t.TempDir(), Command: []string{"/bin/sh", "-c", "echo no such thing >&2; exit 1"},
		Ready: func(context.Context) error { return errors.New("not ready") },
	}
	if err := p.Start(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "it exited\nno such thing") {
		t.Errorf("got %v", err)
	}
}

func TestTheLastUserStopsTheServers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "servers")
	one, two := &provide.Servers{Dir: dir}, &provide.Servers{Dir: dir}
	for _, s := range []*provide.Servers{one, two} {
		if err := s.Use(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p := sleeper(filepath.Join(dir, "sleeper"))
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one.Stop(t.Context()); !errors.Is(err, provide.ErrInUse) {
		t.Errorf("stopping what is used: %v", err)
	}
	if err := one.End(t.Context()); err != nil || pid(t, p) == 0 {
		t.Errorf("the first user ended it: %v", err)
	}
	if err := two.End(t.Context()); err != nil || pid(t, p) != 0 {
		t.Errorf("the last user did not end it: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its data is still there: %v", err)
	}
}
