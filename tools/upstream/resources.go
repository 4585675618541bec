package upstream

import (
	"errors"
	"time"
)

// Resources bound what a child process may use. Zero values do not. Each process that it starts has
// the same bounds for itself, but Processes counts all of the user's.
type Resources struct {
	Memory    int64         // bytes of its data (RLIMIT_DATA)
	CPU       time.Duration // of processor time in all (RLIMIT_CPU)
	Files     int           // open at once (RLIMIT_NOFILE)
	Processes int           // of its user; the superuser's are not bounded (RLIMIT_NPROC)
}

// ErrNoResources says that this system cannot bound what processes use.
var ErrNoResources = errors.New("resource limits of child processes are supported on Linux only; leave resources out")

func (r Resources) negative() bool {
	return r.Memory < 0 || r.CPU < 0 || r.Files < 0 || r.Processes < 0
}
