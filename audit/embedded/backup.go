package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/deedbroker/deed/audit/internal/direct"
)

// Backup copies the log in dir into an empty directory, as it is at one moment between
// two commits, whether its writer lives or died. Erased bytes are not in the copy. What
// it leaves behind when it fails is no log, or one that cannot be opened.
func Backup(ctx context.Context, dir, to string) error {
	if err := backup(ctx, dir, to); err != nil {
		return fmt.Errorf("back up log: %w", err)
	}
	return nil
}

func backup(ctx context.Context, dir, to string) (err error) {
	reader, err := OpenReadOnly(ctx, dir) // it says what is wrong with the log, in its words
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	target, err := filepath.Abs(filepath.Join(to, FileName))
	if err != nil {
		return err
	}
	c, err := direct.Connect(ctx, direct.DSN(reader.path, "ro", nil, "busy_timeout(5000)"))
	if err != nil {
		return fileError(reader.path, err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	copying, err := c.Prepare(ctx, `VACUUM INTO ?`)
	if err == nil {
		err = copying.Run(target)
	}
	if err != nil {
		return fileError(target, err)
	}
	if err := os.Chmod(target, 0o600); err != nil {
		return err
	}
	return syncFile(target)
}

// syncFile makes a file and its name durable.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600) //nolint:gosec // the log's own path
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
