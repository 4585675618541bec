package pulsar_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// deedBinary is built once for all tests, in a directory that TestMain removes.
var deedBinary func() (string, error)

func TestMain(m *testing.M) { os.Exit(runTests(m)) } //nolint:forbidigo // the main of a test

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "deed-pulsar-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // what is left there harms nobody
	deedBinary = sync.OnceValues(func() (string, error) { return build(context.Background(), dir) })
	return m.Run()
}

func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "deed")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/deedbroker/deed/cmd/deed")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build deed: %w\n%s", err, said)
	}
	return binary, nil
}
