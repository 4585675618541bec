package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/internal/direct"
)

// The files of a log's directory.
const (
	FileName    = "log.db"      // the log; SQLite keeps FileName-wal and FileName-shm beside it
	LockName    = "log.lock"    // locked by the process that writes
	ReserveName = "log.reserve" // disk space kept back
)

// Open opens the log in dir for writing, and creates both if they are not there,
// the directory with mode 0700 and its files with 0600. One process at a time can
// have it open: others get [audit.ErrLocked]. A file that is not a log, belongs to
// a newer schema, or whose newest records do not fit their hashes is refused with
// [audit.ErrCorrupt]; a full check of the history is the verifier's work.
//
// Commits of every SQLite database in this process are synced with fdatasync from
// then on where the system has it, which is as durable as fsync and needs less time.
func Open(ctx context.Context, dir string, options Options) (*Log, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if dir, err = makeDir(dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l, err := openLocked(ctx, dir, options, lock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), lock.Close())
	}
	return l, nil
}

// OpenReadOnly opens the log in dir for reading, whether its writer lives or died.
// It never changes what the log holds.
func OpenReadOnly(ctx context.Context, dir string) (*Reader, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	path := filepath.Join(dir, FileName)
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open log: %w: there is no log in %s", audit.ErrNotFound, dir)
	case err != nil:
		return nil, fmt.Errorf("open log: %w", err)
	case info.Size() == 0:
		return nil, fmt.Errorf("open log: %w: %s is empty", audit.ErrCorrupt, path)
	}
	r, err := openReader(ctx, path)
	if err != nil && errors.Is(err, audit.ErrUnavailable) && !hasContent(path+"-wal") {
		// A directory that cannot be written has no room for SQLite's shared
		// memory. Nothing is pending, so the file alone is the whole log.
		r, err = openReader(ctx, path, "immutable")
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return r, nil
}

func openReader(ctx context.Context, path string, flags ...string) (*Reader, error) {
	more := url.Values{}
	for _, f := range flags {
		more.Set(f, "1")
	}
	name := direct.DSN(path, "ro", more, "busy_timeout(5000)", "query_only(1)")
	if err := checkFile(ctx, path, name); err != nil {
		return nil, err
	}
	return newReader(ctx, path, name)
}

// checkFile tells whether the file is a log of a schema that this program knows.
func checkFile(ctx context.Context, path, name string) error {
	c, err := direct.Connect(ctx, name)
	if err != nil {
		return fileError(path, err)
	}
	fresh, err := checkIdentity(ctx, c, path)
	if err == nil && fresh {
		err = fmt.Errorf("%w: %s holds no log", audit.ErrCorrupt, path)
	}
	return errors.Join(err, c.Close())
}

func hasContent(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}

func makeDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no directory is given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return "", fmt.Errorf("%s has mode %#o: others could replace the log, so make it 0700", dir, mode)
	}
	return dir, nil
}

func takeLock(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, LockName), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%w: lock %s: %w", audit.ErrUnavailable, dir, err)
	}
	if !taken {
		return nil, errors.Join(fmt.Errorf("%w: another deed is running on %s", audit.ErrLocked, dir), lock.Close())
	}
	return lock, nil
}

func openLocked(ctx context.Context, dir string, options Options, lock *flock.Flock) (*Log, error) {
	path := filepath.Join(dir, FileName)
	if err := createFile(path); err != nil {
		return nil, err
	}
	// Where there is no fdatasync SQLite goes on with what the system has.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	c, err := openWriter(ctx, path)
	if err != nil {
		return nil, err
	}
	r, err := openReader(ctx, path)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	l, err := start(ctx, dir, options, lock, c, r)
	if err != nil {
		return nil, errors.Join(err, r.Close(), c.Close())
	}
	return l, nil
}

// createFile makes an empty file where there is none. An existing one is not even
// opened: closing it again would drop the locks that SQLite holds for this process.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) //nolint:gosec // the log's own path
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	return f.Close()
}

func openWriter(ctx context.Context, path string) (*direct.Conn, error) {
	c, err := direct.Connect(ctx, direct.DSN(path, "rw", nil, "busy_timeout(5000)"))
	if err != nil {
		return nil, fileError(path, err)
	}
	if err := prepareFile(ctx, c, path); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func prepareFile(ctx context.Context, c *direct.Conn, path string) error {
	fresh, err := checkIdentity(ctx, c, path)
	if err != nil {
		return err
	}
	for _, pragma := range []string{
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA secure_delete = ON",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA busy_timeout = 0",
	} {
		if err := c.Exec(ctx, pragma); err != nil {
			return fileError(path, err)
		}
	}
	if fresh {
		if err := create(ctx, c); err != nil {
			return fileError(path, err)
		}
		return syncDir(filepath.Dir(path))
	}
	// Writing the version again costs one commit and tells now, not at the first
	// call, whether the disk takes writes. A full disk is no reason not to open.
	if err := c.Exec(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil && !isFull(err) {
		return fileError(path, err)
	}
	return nil
}

// checkIdentity reports whether the file is still empty, and an error if it holds
// anything but a log of this schema.
func checkIdentity(ctx context.Context, c *direct.Conn, path string) (fresh bool, _ error) {
	var got [3]int64
	for i, query := range []string{"PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema"} {
		row, err := c.Ints(ctx, query)
		if err != nil {
			return false, fileError(path, err)
		}
		got[i] = row[0]
	}
	switch app, version, tables := got[0], got[1], got[2]; {
	case app == 0 && version == 0 && tables == 0:
		return true, nil
	case app != applicationID:
		return false, fmt.Errorf("%w: %s is a database of another program", audit.ErrCorrupt, path)
	case version > schemaVersion:
		return false, fmt.Errorf("%w: %s has schema %d, written by a newer deed: this one knows %d", audit.ErrUnavailable, path, version, schemaVersion)
	case version != schemaVersion:
		return false, fmt.Errorf("%w: %s has the unknown schema %d", audit.ErrCorrupt, path, version)
	}
	return false, nil
}

func create(ctx context.Context, c *direct.Conn) error {
	statements := append([]string{"BEGIN IMMEDIATE"}, schema[:]...)
	statements = append(statements,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", schemaVersion),
		"COMMIT")
	for _, s := range statements {
		if err := c.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the log's own directory
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("%w: sync %s: %w", audit.ErrUnavailable, dir, err)
	}
	return nil
}
