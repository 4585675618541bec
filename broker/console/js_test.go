package console_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestModules runs the tests of the page's pure modules.
func TestModules(t *testing.T) {
	t.Parallel()
	node := need.Env(t, need.Node)
	files, err := filepath.Glob("jstest/*.test.js")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("there are no tests in jstest")
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test", "--test-reporter=spec"}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
}

// TestTypes has the compiler check what the modules say of their types.
func TestTypes(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), need.Env(t, need.Node), need.Env(t, need.TypeScript), "-p", "jstest/tsconfig.json").CombinedOutput()
	if err != nil {
		t.Errorf("tsc: %v\n%s", err, out)
	}
}
