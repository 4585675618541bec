package upstream

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// bound sets the limits of a process that has just been started.
func (r Resources) bound(pid int) error {
	for _, l := range []struct {
		resource int
		most     uint64
	}{
		{unix.RLIMIT_DATA, uint64(r.Memory)},                               //nolint:gosec // not negative
		{unix.RLIMIT_CPU, uint64((r.CPU + time.Second - 1) / time.Second)}, //nolint:gosec // not negative
		{unix.RLIMIT_NOFILE, uint64(r.Files)},                              //nolint:gosec // not negative
		{unix.RLIMIT_NPROC, uint64(r.Processes)},                           //nolint:gosec // not negative
	} {
		if l.most == 0 {
			continue
		}
		if err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: l.most, Max: l.most}, nil); err != nil {
			return fmt.Errorf("bound the resources of the process: %w", err)
		}
	}
	return nil
}

func (Resources) supported() error { return nil }
