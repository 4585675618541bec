package provide_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/deedbroker/deed/cmd/provide"
)

func TestOnceFillsOnceAmongMany(t *testing.T) {
	t.Parallel()
	c := &provide.Cache{Dir: t.TempDir()}
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := c.Once(t.Context(), "@scope/thing-1", func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
			})
			if err != nil || provide.Exists(filepath.Join(dir, "file")) != nil {
				t.Errorf("got %q, %v", dir, err)
			}
		})
	}
	wg.Wait()
	if got := fills.Load(); got != 1 {
		t.Errorf("filled %d times", got)
	}
}

func TestOnceRedoesWhatWasInterrupted(t *testing.T) {
	t.Parallel()
	c := &provide.Cache{Dir: t.TempDir()}
	interrupted := errors.New("interrupted")
	_, err := c.Once(t.Context(), "thing", func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), interrupted)
	})
	if !errors.Is(err, interrupted) {
		t.Fatalf("got %v", err)
	}
	dir, err := c.Once(t.Context(), "thing", func(dir string) error {
		if provide.Exists(filepath.Join(dir, "half")) == nil {
			t.Error("the half-finished installation is still there")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Once(t.Context(), "thing", func(string) error { return errors.New("filled again") })
	if err != nil || again != dir {
		t.Errorf("got %q, %v", again, err)
	}
}

func TestRunShowsTheEndOfTheOutput(t *testing.T) {
	t.Parallel()
	err := provide.Run(exec.CommandContext(t.Context(), "sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "line 100") || strings.Contains(err.Error(), "line 1\n") {
		t.Errorf("got %v", err)
	}
}
