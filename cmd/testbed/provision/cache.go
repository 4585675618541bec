package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// marker is the file whose presence says that a directory is complete.
const marker = ".complete"

// lockPoll is how often another process's lock is looked at again.
const lockPoll = 200 * time.Millisecond

// cache is a directory of finished installations.
type cache struct{ dir string }

// once returns the directory called name, after fill has completed it in this
// process, in another, or in an earlier one.
func (c *cache) once(ctx context.Context, name string, fill func(dir string) error) (_ string, err error) {
	dir := filepath.Join(c.dir, strings.NewReplacer("/", "-", "@", "").Replace(name))
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	if _, err := os.Stat(filepath.Join(dir, marker)); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	if err := fill(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, marker), nil, 0o600)
}

func lock(ctx context.Context, path string) (unlock func() error, err error) {
	l := flock.New(path)
	if _, err := l.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return l.Unlock, nil
}

// exists fails with what was expected of an installation that reported success.
func exists(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("find what was installed: %w", err)
	}
	return nil
}
