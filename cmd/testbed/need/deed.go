package need

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Main runs the tests of a package that start deed, as its TestMain, and removes what
// [Deed] built for them. It does not return.
func Main(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // what is left there harms nobody
	}
	os.Exit(code) //nolint:forbidigo // the main of a test
}

// built is the program that the tests of this process share.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// Deed is the path of the program deed, which is built once for all tests of a package
// whose TestMain is [Main].
func Deed(tb testing.TB) string {
	tb.Helper()
	built.once.Do(func() { built.dir, built.err = build() })
	if built.err != nil {
		tb.Fatal(built.err)
	}
	return filepath.Join(built.dir, "deed")
}

func build() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "deed-test-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir, "github.com/deedbroker/deed/cmd/deed") //nolint:gosec,noctx // our own program, for all tests
	if said, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build deed: %w\n%s", err, said)
	}
	return dir, nil
}
