package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	sqlitelib "modernc.org/sqlite/lib"

	"github.com/deedbroker/deed/audit/internal/direct"
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
	wanted chan struct{} // a reader waits for what Run has put off

	forgetting sync.Mutex
	forgotten  map[string]bool // guarded by forgetting: calls whose erasure was seen to before it was read

	mu    sync.RWMutex // held for reading while the file is in use
	write *writer      // guarded by mu; nil if the file is closed
	read  *sql.DB      // guarded by mu; nil if the file is closed
}

// Open opens the index in the file at path, and creates it if it is not there. A
// file that cannot be used is deleted and created anew.
func Open(ctx context.Context, path string, logger *slog.Logger) (*Index, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	i := &Index{path: path, logger: logger, broken: make(chan struct{}, 1), wanted: make(chan struct{}, 1), forgotten: map[string]bool{}}
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
	if i.write == nil {
		return nil
	}
	err := errors.Join(i.read.Close(), i.write.close())
	i.read, i.write = nil, nil
	return err
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
	write, err := openWriter(ctx, i.path)
	if err != nil {
		return err
	}
	read, err := openReader(ctx, i.path)
	if err != nil {
		return errors.Join(err, write.close())
	}
	i.write, i.read = write, read
	return nil
}

func openReader(ctx context.Context, path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", direct.DSN(path, "ro", nil, "busy_timeout(5000)", "temp_store(memory)", "query_only(1)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
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
	switch direct.Code(err) {
	case sqlitelib.SQLITE_CORRUPT, sqlitelib.SQLITE_NOTADB:
		return &unusableError{err}
	}
	return err
}

func isDamage(err error) bool {
	_, ok := errors.AsType[*unusableError](err)
	return ok
}

// prepareFile creates the tables in an empty file, and refuses those of another schema.
func prepareFile(ctx context.Context, c *direct.Conn) error {
	var got [3]int64
	for i, query := range []string{`PRAGMA application_id`, `PRAGMA user_version`, `SELECT count(*) FROM sqlite_schema`} {
		row, err := c.Ints(ctx, query)
		if err != nil {
			return damage(err)
		}
		got[i] = row[0]
	}
	switch app, version, tables := got[0], got[1], got[2]; {
	case tables == 0:
		return create(ctx, c)
	case app != applicationID:
		return &unusableError{errors.New("it is not a history index")}
	case version != schemaVersion:
		return &unusableError{fmt.Errorf("it has schema %d, this program knows %d", version, schemaVersion)}
	}
	places, err := c.Ints(ctx, `SELECT count(*) FROM place`)
	if err != nil || places[0] != 1 {
		return &unusableError{fmt.Errorf("it does not say how far it goes (places: %v): %w", places, err)}
	}
	return nil
}

func create(ctx context.Context, c *direct.Conn) error {
	statements := append([]string{`BEGIN IMMEDIATE`}, schema[:]...)
	statements = append(statements,
		fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
		fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion),
		`COMMIT`)
	for _, s := range statements {
		if err := c.Exec(ctx, s); err != nil {
			return damage(fmt.Errorf("create tables: %w", err))
		}
	}
	return nil
}

// errClosed is what an index answers that was closed, or could not be built again.
var errClosed = errors.New("the history index is closed")

// writing stores all that f writes, or nothing.
func (i *Index) writing(f func(*writer) error) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.write == nil {
		return errClosed
	}
	return i.write.transact(f)
}

// truncate empties the write-ahead log, and with it what was deleted.
func (i *Index) truncate(ctx context.Context) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.write == nil {
		return errClosed
	}
	return i.write.truncate(ctx)
}

// reading runs f on the file; damage that f meets makes Run build the file again.
func (i *Index) reading(f func(db *sql.DB) error) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.read == nil {
		return errClosed
	}
	err := damage(f(i.read))
	if isDamage(err) {
		select {
		case i.broken <- struct{}{}:
		default:
		}
	}
	return err
}
