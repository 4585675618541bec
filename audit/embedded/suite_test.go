package embedded_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
)

var (
	_ audittest.Engine = (*embedded.Log)(nil)
	_ seal.Trees       = (*embedded.Log)(nil)
	_ seal.Trees       = (*embedded.Reader)(nil)
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// small is enough room for tests, and quick to allocate.
var small = embedded.Options{ReserveBytes: 512 << 10}

func open(t *testing.T, dir string, options embedded.Options) *embedded.Log {
	t.Helper()
	l, err := embedded.Open(t.Context(), dir, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

func TestSuite(t *testing.T) {
	t.Parallel()
	audittest.Run(t, func(t *testing.T, place string) audittest.Engine {
		t.Helper()
		l, err := embedded.Open(t.Context(), filepath.Join(place, "log"), small)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
