package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // registers the driver

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
)

const (
	writeTimeout  = 10 * time.Second
	invalidParams = -32602
)

// Ledger is the upstream. Close it when it is no longer called.
type Ledger struct {
	*builtin.Upstream
	db *sql.DB
}

var _ tools.Upstream = (*Ledger)(nil)

// Open opens the ledger in the SQLite file at path. A new one gets sample customers.
func Open(ctx context.Context, path string) (*Ledger, error) {
	pragmas := url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(5000)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: pragmas.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	db.SetMaxOpenConns(1) // one writer; a ledger of this size needs no second reader
	l := &Ledger{db: db}
	if err := l.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), db.Close())
	}
	l.Upstream, err = builtin.New(
		builtin.Function{Definition: json.RawMessage(accountsTool), Run: l.accounts},
		builtin.Function{Definition: json.RawMessage(balanceTool), Run: l.balance},
		builtin.Function{Definition: json.RawMessage(paymentsTool), Run: l.payments},
		builtin.Function{Definition: json.RawMessage(chargeTool), Run: change(l, charge)},
		builtin.Function{Definition: json.RawMessage(refundTool), Run: change(l, refund)},
	)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return l, nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.db.Close() }

// prepare makes the tables, and fills a new ledger.
func (l *Ledger) prepare(ctx context.Context) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // nothing to undo after the commit
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	var accounts int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM accounts`).Scan(&accounts); err != nil {
		return err
	}
	if accounts == 0 {
		if _, err := tx.ExecContext(ctx, sample); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// change makes a tool of do, which changes something: in one transaction, once for
// each call id. do says why it will not, or what came of it.
func change[Request any](l *Ledger, do func(context.Context, *sql.Tx, Request) (tools.Answer, error)) func(context.Context, tools.Call) (tools.Answer, error) {
	return func(ctx context.Context, c tools.Call) (tools.Answer, error) {
		var r Request
		if err := builtin.Arguments(c, &r); err != nil {
			return tools.Answer{}, err
		}
		if c.ID == "" {
			return tools.Answer{}, &tools.RPCError{Code: invalidParams, Message: "a call id is needed"}
		}
		// What has begun is finished: a cancelled transaction would leave it open whether it was.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		return l.once(ctx, c, func(tx *sql.Tx) (tools.Answer, error) { return do(ctx, tx, r) })
	}
}

// once does something unless the call was answered before; then that is the answer.
// An error before the commit means that nothing was done.
func (l *Ledger) once(ctx context.Context, c tools.Call, do func(*sql.Tx) (tools.Answer, error)) (tools.Answer, error) {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing to undo after the commit
	before, found, err := answered(ctx, tx, c)
	if err != nil || found {
		return before, err
	}
	a, err := do(tx)
	if err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	if a.IsError { // nothing was changed, and the same call may succeed later
		return a, nil
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO calls (id, request, answer) VALUES (?, ?, ?)`, c.ID, request(c), string(a.Raw)); err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	if err := tx.Commit(); err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	}
	return a, nil
}

// answered finds the answer that a call had before.
func answered(ctx context.Context, tx *sql.Tx, c tools.Call) (tools.Answer, bool, error) {
	var was, raw string
	err := tx.QueryRowContext(ctx, `SELECT request, answer FROM calls WHERE id = ?`, c.ID).Scan(&was, &raw)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return tools.Answer{}, false, nil
	case err != nil:
		return tools.Answer{}, false, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	case was != request(c):
		return tools.Answer{}, false, &tools.RPCError{Code: invalidParams, Message: "the call id was used for another request"}
	default:
		return tools.Answer{Raw: json.RawMessage(raw)}, true, nil
	}
}

func request(c tools.Call) string { return c.Tool + " " + string(c.Arguments) }
