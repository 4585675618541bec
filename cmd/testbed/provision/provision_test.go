package provision

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnceFillsOnceAmongMany(t *testing.T) {
	t.Parallel()
	c := &cache{dir: t.TempDir()}
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			dir, err := c.once(t.Context(), "@scope/thing-1", func(dir string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)
			})
			if err != nil || exists(filepath.Join(dir, "file")) != nil {
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
	c := &cache{dir: t.TempDir()}
	interrupted := errors.New("interrupted")
	_, err := c.once(t.Context(), "thing", func(dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), interrupted)
	})
	if !errors.Is(err, interrupted) {
		t.Fatalf("got %v", err)
	}
	dir, err := c.once(t.Context(), "thing", func(dir string) error {
		if exists(filepath.Join(dir, "half")) == nil {
			t.Error("the half-finished installation is still there")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.once(t.Context(), "thing", func(string) error { return errors.New("filled again") })
	if err != nil || again != dir {
		t.Errorf("got %q, %v", again, err)
	}
}

func TestInstallTriesAllAndNamesWhatFailed(t *testing.T) {
	t.Parallel()
	works := func(name string) thing {
		return thing{name, func(context.Context, *cache) (Env, error) { return Env{name: "path"}, nil }}
	}
	broken := thing{"broken", func(context.Context, *cache) (Env, error) { return nil, errors.New("no disk") }}

	var progress bytes.Buffer
	env, err := install(t.Context(), &cache{dir: t.TempDir()}, []thing{works("a"), works("b")}, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Env{"a": "path", "b": "path"}, env); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := strings.Count(progress.String(), " ready in "); got != 2 {
		t.Errorf("progress:\n%s", progress.String())
	}

	progress.Reset()
	_, err = install(t.Context(), &cache{dir: t.TempDir()}, []thing{broken, works("a")}, &progress)
	if err == nil || err.Error() != "install broken: no disk" {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(progress.String(), "a ready in ") || !strings.Contains(progress.String(), "broken FAILED after ") {
		t.Errorf("progress:\n%s", progress.String())
	}
}

func TestRunShowsTheEndOfTheOutput(t *testing.T) {
	t.Parallel()
	err := run(exec.CommandContext(t.Context(), "sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 3"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "line 100") || strings.Contains(err.Error(), "line 1\n") {
		t.Errorf("got %v", err)
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	const word = `it's $HOME "here"`
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+quote(word)).Output()
	if err != nil || string(out) != word {
		t.Errorf("the shell made %q of it, %v", out, err)
	}
}
