//go:build unix

package audittest

import (
	"syscall"
	"testing"
	"time"
)

// CPUTime is what the process has used so far, in user and system mode.
func CPUTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
