package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// FileName is what the index is called in a data directory.
const FileName = "index.db"

const readers = 4

// Index is an open history index. It is safe for concurrent use; one [Index.Run]
// at a time folds the log into it.
type Index struct {
	path   string
	logger *slog.Logger
	lag    lag
	broken chan struct{} // a reader met damage: Run builds the file again

	mu    sync.RWMutex // held for reading while the databases are in use
	write *sql.DB      // guarded by mu, one connection
	read  *sql.DB      // guarded by mu
}

// Open opens the index in the file at path, and creates it if it is not there. A
// file that cannot be used is deleted and created anew.
func Open(ctx context.Context, path string, logger *slog.Logger) (*Index, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	i := &Index{path: path, logger: logger, broken: make(chan struct{}, 1)}
	err = i.open(ctx)
	if cause, ok := errors.AsType[*unusableError](err); ok {
		i.tellRebuild(ctx, cause)
		err = errors.Join(i.remove(), i.open(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	return i, nil
}

// Close ends all searches. The file stays.
func (i *Index) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.closeFiles(); err != nil {
		return fmt.Errorf("close index: %w", err)
	}
	return nil
}

func (i *Index) closeFiles() error {
	var errs []error
	for _, db := range []*sql.DB{i.read, i.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// rebuild starts again with an empty file.
func (i *Index) rebuild(ctx context.Context, cause error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tellRebuild(ctx, cause)
	if err := errors.Join(i.closeFiles(), i.remove(), i.open(ctx)); err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	return nil
}

func (i *Index) tellRebuild(ctx context.Context, cause error) {
	i.logger.LogAttrs(ctx, slog.LevelWarn, "history index is built again from the log",
		slog.String("file", i.path), slog.String("cause", cause.Error()))
}

func (i *Index) remove() error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(i.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// open opens or creates the file. The caller holds mu, or is alone.
func (i *Index) open(ctx context.Context) error {
	if f, err := os.OpenFile(i.path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	} else if err := f.Close(); err != nil {
		return err
	}
	write, err := connect(ctx, i.path, 1, "journal_mode(wal)", "synchronous(normal)", "secure_delete(1)", "wal_autocheckpoint(4000)")
	if err != nil {
		return err
	}
	if err := prepare(ctx, write); err != nil {
		return errors.Join(err, write.Close())
	}
	read, err := connect(ctx, i.path, readers, "query_only(1)")
	if err != nil {
		return errors.Join(err, write.Close())
	}
	i.write, i.read = write, read
	return nil
}

func connect(ctx context.Context, path string, connections int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": append(pragmas, "busy_timeout(5000)", "temp_store(memory)"), "_txlock": {"immediate"}, "_dqs": {"0"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(damage(err), db.Close())
	}
	return db, nil
}

// unusableError is a file that can only be thrown away.
type unusableError struct{ cause error }

func (e *unusableError) Error() string { return "the file cannot be used: " + e.cause.Error() }
func (e *unusableError) Unwrap() error { return e.cause }

// damage marks SQLite's reports of a damaged file, and leaves other errors as they are.
func damage(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB:
			return &unusableError{err}
		}
	}
	return err
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*unusableError](err)
	return ok
}

// prepare creates the tables in an empty file, and refuses those of another schema.
func prepare(ctx context.Context, db *sql.DB) error {
	var app, version, tables int64
	for query, into := range map[string]*int64{
		`PRAGMA application_id`: &app, `PRAGMA user_version`: &version, `SELECT count(*) FROM sqlite_schema`: &tables,
	} {
		if err := db.QueryRowContext(ctx, query).Scan(into); err != nil {
			return damage(err)
		}
	}
	switch {
	case tables == 0:
		return create(ctx, db)
	case app != applicationID:
		return &unusableError{errors.New("it is not a history index")}
	case version != schemaVersion:
		return &unusableError{fmt.Errorf("it has schema %d, this program knows %d", version, schemaVersion)}
	}
	var places int64
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM place`).Scan(&places); err != nil || places != 1 {
		return &unusableError{fmt.Errorf("it does not say how far it goes (%d places): %w", places, err)}
	}
	return nil
}

func create(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return damage(err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	for _, s := range schema {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("create tables: %w", err)
		}
	}
	for _, s := range []string{
		fmt.Sprintf(`PRAGMA application_id = %d`, applicationID), fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion),
	} {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// reading runs f on the databases; damage that f meets makes Run build the file again.
func (i *Index) reading(f func(db *sql.DB) error) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	err := damage(f(i.read))
	if isDamage(err) {
		select {
		case i.broken <- struct{}{}:
		default:
		}
	}
	return err
}
