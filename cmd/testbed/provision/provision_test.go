package provision

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/cmd/provide"
)

func TestInstallTriesAllAndNamesWhatFailed(t *testing.T) {
	t.Parallel()
	works := func(name string) thing {
		return thing{name, func(context.Context, *provide.Cache) (Env, error) { return Env{name: "path"}, nil }}
	}
	broken := thing{"broken", func(context.Context, *provide.Cache) (Env, error) { return nil, errors.New("no disk") }}

	var progress bytes.Buffer
	env, err := install(t.Context(), &provide.Cache{Dir: t.TempDir()}, []thing{works("a"), works("b")}, &progress)
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
	_, err = install(t.Context(), &provide.Cache{Dir: t.TempDir()}, []thing{broken, works("a")}, &progress)
	if err == nil || err.Error() != "install broken: no disk" {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(progress.String(), "a ready in ") || !strings.Contains(progress.String(), "broken FAILED after ") {
		t.Errorf("progress:\n%s", progress.String())
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
