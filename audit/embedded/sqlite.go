package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/deedbroker/deed/audit"
)

// dsn names the database file to the driver, whatever characters its path has.
func dsn(path, mode string, more url.Values, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": pragmas, "_dqs": {"0"}, "_error_rc": {"1"}}
	maps.Copy(q, more)
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

// connection is the one that writes. It speaks to the driver directly: database/sql
// would cost as much again as the insertion, and the writer is alone with it.
type connection struct {
	conn driver.Conn
	open []driver.Stmt // prepared, to be closed with conn
}

func connect(ctx context.Context, dsn string) (*connection, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn}, nil
}

// statement is prepared once and run with arguments that it owns.
type statement struct {
	stmt driver.StmtExecContext
	args []driver.NamedValue
}

func (c *connection) prepare(query string) (*statement, error) {
	s, err := c.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.open = append(c.open, s)
	run, ok := s.(driver.StmtExecContext)
	if !ok {
		return nil, errors.New("the SQLite driver has no StmtExecContext")
	}
	return &statement{stmt: run}, nil
}

// run executes the statement. The writer never interrupts SQLite, so there is no
// context to hand on.
func (s *statement) run(args ...driver.Value) error {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	_, err := s.stmt.ExecContext(context.Background(), s.args)
	clear(s.args)
	return err
}

// exec runs a statement once.
func (c *connection) exec(ctx context.Context, query string) error {
	e, ok := c.conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the SQLite driver has no ExecerContext")
	}
	_, err := e.ExecContext(ctx, query, nil)
	return err
}

// ints reads the first row of a query whose columns are all integers.
func (c *connection) ints(ctx context.Context, query string) ([]int64, error) {
	q, ok := c.conn.(driver.QueryerContext)
	if !ok {
		return nil, errors.New("the SQLite driver has no QueryerContext")
	}
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	return firstInts(rows)
}

// firstInts reads the first of the rows, all integers, and closes them.
func firstInts(rows driver.Rows) ([]int64, error) {
	values := make([]driver.Value, len(rows.Columns()))
	if err := errors.Join(rows.Next(values), rows.Close()); err != nil {
		return nil, err
	}
	out := make([]int64, len(values))
	for i, v := range values {
		n, ok := v.(int64)
		if !ok {
			return nil, fmt.Errorf("column %d is %T, not an integer", i, v)
		}
		out[i] = n
	}
	return out, nil
}

func (c *connection) close() error {
	var errs []error
	for _, s := range c.open {
		errs = append(errs, s.Close())
	}
	c.open = nil
	return errors.Join(append(errs, c.conn.Close())...)
}

// resultCode is SQLite's primary result code of err, or 0 if it has none.
func resultCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

func isFull(err error) bool { return resultCode(err) == sqlitelib.SQLITE_FULL }

func isBusy(err error) bool { return resultCode(err) == sqlitelib.SQLITE_BUSY }

// fileError says in the log's own words what is wrong with the file at path.
func fileError(path string, err error) error {
	switch resultCode(err) {
	case sqlitelib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s is not an SQLite database: %w", audit.ErrCorrupt, path, err)
	case sqlitelib.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %s is damaged: %w", audit.ErrCorrupt, path, err)
	case sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_PERM:
		return fmt.Errorf("%w: %s cannot be written: %w", audit.ErrUnavailable, path, err)
	case sqlitelib.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: %s cannot be opened: %w", audit.ErrUnavailable, path, err)
	case sqlitelib.SQLITE_FULL:
		return fmt.Errorf("%w: %s cannot grow: %w", audit.ErrFull, path, err)
	case sqlitelib.SQLITE_BUSY:
		return fmt.Errorf("%w: %s is held by a program that is not deed: %w", audit.ErrLocked, path, err)
	default:
		return fmt.Errorf("%w: %s: %w", audit.ErrUnavailable, path, err)
	}
}
