package embedded_test

import (
	"errors"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

// grep looks for text in the files of dir. It does so in another process, since
// closing a file that SQLite has open would drop this process's locks on it.
func grep(t *testing.T, dir, text string) (bool, error) {
	t.Helper()
	err := exec.CommandContext(t.Context(), "grep", "-rqaF", text, dir).Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// appendMany appends n events from many goroutines.
func appendMany(t *testing.T, l *embedded.Log, n int64) {
	t.Helper()
	var left atomic.Int64
	left.Store(n)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), `{"amount":1}`)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
