package provide

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

// Cache is a directory of finished installations.
type Cache struct{ Dir string }

// Once returns the directory called name, after fill has completed it in this
// process, in another, or in an earlier one.
func (c *Cache) Once(ctx context.Context, name string, fill func(dir string) error) (_ string, err error) {
	dir := filepath.Join(c.Dir, strings.NewReplacer("/", "-", "@", "", ":", "-").Replace(name))
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return "", err
	}
	unlock, err := Lock(ctx, dir+".lock")
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

// Lock waits for the lock on the file at path, which it creates.
func Lock(ctx context.Context, path string) (unlock func() error, err error) {
	l := flock.New(path)
	if _, err := l.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return l.Unlock, nil
}

// Exists fails with what was expected of an installation that reported success.
func Exists(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("find what was installed: %w", err)
	}
	return nil
}
