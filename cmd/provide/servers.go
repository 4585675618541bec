package provide

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrInUse says that servers were not stopped, since somebody uses them.
var ErrInUse = errors.New("the servers are in use")

// Servers is a directory of processes that several programs use at the same time,
// each in a directory of its own. They run for as long as one of the programs does.
type Servers struct {
	Dir string

	users *flock.Flock
}

// Use keeps the servers running until End. Whoever starts one calls it before.
func (s *Servers) Use(ctx context.Context) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("use servers: %w", err)
	}
	s.users = flock.New(s.Dir + ".lock")
	if _, err := s.users.TryRLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("use servers: %w", err)
	}
	return nil
}

// End ends the use. If nobody else uses the servers they are stopped and their data
// is removed.
func (s *Servers) End(ctx context.Context) error {
	if err := s.users.Unlock(); err != nil {
		return fmt.Errorf("stop servers: %w", err)
	}
	if err := s.Stop(ctx); !errors.Is(err, ErrInUse) {
		return err
	}
	return nil
}

// Stop stops all servers that run and removes their data. If somebody uses them it is
// [ErrInUse].
func (s *Servers) Stop(ctx context.Context) (err error) {
	if err := os.MkdirAll(filepath.Dir(s.Dir), 0o700); err != nil {
		return err
	}
	last := flock.New(s.Dir + ".lock")
	locked, err := last.TryLock()
	if err != nil || !locked {
		return errors.Join(err, ErrInUse)
	}
	defer func() { err = errors.Join(err, last.Unlock()) }()
	var failed []error
	for _, depth := range []string{"*", "*/*"} { // a cluster has its nodes below its own directory
		pids, err := filepath.Glob(filepath.Join(s.Dir, depth, pidFile))
		if err != nil {
			return err
		}
		for _, path := range pids {
			p := Process{Dir: filepath.Dir(path)}
			failed = append(failed, p.Stop(ctx))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("stop servers: %w", err)
	}
	return os.RemoveAll(s.Dir)
}
