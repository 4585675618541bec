// Package direct writes an SQLite database through the driver itself. database/sql
// would cost as much again as inserting a row, and a writer that is alone with its
// connection needs nothing of what it does.
package direct

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite"
)

// DSN names the database file to the driver, whatever characters its path has.
func DSN(path, mode string, more url.Values, pragmas ...string) string {
	q := url.Values{"mode": {mode}, "_pragma": pragmas, "_dqs": {"0"}, "_error_rc": {"1"}}
	maps.Copy(q, more)
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

// Conn is a connection. One goroutine at a time may use it and its statements.
type Conn struct {
	conn driver.Conn
	open []driver.Stmt // prepared, to be closed with conn
}

// Connect opens the database that a [DSN] names.
func Connect(ctx context.Context, dsn string) (*Conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: conn}, nil
}

// Stmt is prepared once and run with arguments that it owns.
type Stmt struct {
	exec  func(args []driver.NamedValue) (driver.Result, error)
	query func(args []driver.NamedValue) (driver.Rows, error)
	args  []driver.NamedValue
}

// Prepare makes a statement that lives as long as the connection. Nobody interrupts
// it when it runs: that would cost two goroutines each time.
func (c *Conn) Prepare(ctx context.Context, query string) (*Stmt, error) {
	s, err := c.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.open = append(c.open, s)
	exec, runs := s.(driver.StmtExecContext)
	ask, asks := s.(driver.StmtQueryContext)
	if !runs || !asks {
		return nil, errors.New("the SQLite driver's statements have no contexts")
	}
	ctx = context.WithoutCancel(ctx)
	return &Stmt{
		exec:  func(args []driver.NamedValue) (driver.Result, error) { return exec.ExecContext(ctx, args) },
		query: func(args []driver.NamedValue) (driver.Rows, error) { return ask.QueryContext(ctx, args) },
	}, nil
}

// Run executes the statement.
func (s *Stmt) Run(args ...driver.Value) error {
	_, err := s.exec(s.bind(args))
	clear(s.args)
	return err
}

// Row reads the statement's first row; the values are nil if there is none.
func (s *Stmt) Row(args ...driver.Value) ([]driver.Value, error) {
	rows, err := s.query(s.bind(args))
	clear(s.args)
	if err != nil {
		return nil, err
	}
	return first(rows)
}

// Ints reads the first row, of integers, of a statement without arguments.
func (s *Stmt) Ints() ([]int64, error) {
	values, err := s.Row()
	if err != nil {
		return nil, err
	}
	return integers(values)
}

func (s *Stmt) bind(args []driver.Value) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

// Exec runs a statement once.
func (c *Conn) Exec(ctx context.Context, query string) error {
	e, ok := c.conn.(driver.ExecerContext)
	if !ok {
		return errors.New("the SQLite driver has no ExecerContext")
	}
	_, err := e.ExecContext(ctx, query, nil)
	return err
}

// Ints reads the first row of a query whose columns are all integers.
func (c *Conn) Ints(ctx context.Context, query string) ([]int64, error) {
	q, ok := c.conn.(driver.QueryerContext)
	if !ok {
		return nil, errors.New("the SQLite driver has no QueryerContext")
	}
	rows, err := q.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	values, err := first(rows)
	if err != nil {
		return nil, err
	}
	return integers(values)
}

// Close closes the statements and the connection.
func (c *Conn) Close() error {
	var errs []error
	for _, s := range c.open {
		errs = append(errs, s.Close())
	}
	c.open = nil
	return errors.Join(append(errs, c.conn.Close())...)
}

// first reads the first of the rows, and closes them.
func first(rows driver.Rows) ([]driver.Value, error) {
	values := make([]driver.Value, len(rows.Columns()))
	err := rows.Next(values)
	if errors.Is(err, io.EOF) {
		return nil, rows.Close()
	}
	return values, errors.Join(err, rows.Close())
}

func integers(values []driver.Value) ([]int64, error) {
	if values == nil {
		return nil, errors.New("the query has no rows")
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

// Code is SQLite's primary result code of err, or 0 if it has none.
func Code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}
