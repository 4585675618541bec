package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
)

const (
	maxAccounts     = 1000
	defaultPayments = 20
	maxPayments     = 100
)

type account struct {
	ID       string `json:"account"`
	Name     string `json:"name"`
	Currency string `json:"currency"`
}

func (l *Ledger) accounts(ctx context.Context, c tools.Call) (tools.Answer, error) {
	var none struct{}
	if err := builtin.Arguments(c, &none); err != nil {
		return tools.Answer{}, err
	}
	found, err := query(ctx, l.db, func(rows *sql.Rows) (a account, err error) {
		return a, rows.Scan(&a.ID, &a.Name, &a.Currency)
	}, `SELECT id, name, currency FROM accounts ORDER BY id LIMIT ?`, maxAccounts)
	if err != nil {
		return tools.Answer{}, unread(ctx, err)
	}
	return builtin.Structured(map[string]any{"accounts": found})
}

func (l *Ledger) balance(ctx context.Context, c tools.Call) (tools.Answer, error) {
	var r struct {
		Account string `json:"account"`
	}
	if err := builtin.Arguments(c, &r); err != nil {
		return tools.Answer{}, err
	}
	var balance int64
	var currency string
	err := l.db.QueryRowContext(ctx, `SELECT a.currency, coalesce(sum(p.amount - p.refunded), 0) FROM accounts a LEFT JOIN payments p ON p.account = a.id WHERE a.id = ? GROUP BY a.id`, r.Account).
		Scan(&currency, &balance)
	if errors.Is(err, sql.ErrNoRows) {
		return builtin.Failure("there is no such account"), nil
	}
	if err != nil {
		return tools.Answer{}, unread(ctx, err)
	}
	return builtin.Structured(map[string]any{"account": r.Account, "balance": balance, "currency": currency})
}

type payment struct {
	ID          string `json:"payment"`
	Amount      int64  `json:"amount"`
	Refunded    int64  `json:"refunded"`
	Description string `json:"description"`
	At          string `json:"at"`
}

func (l *Ledger) payments(ctx context.Context, c tools.Call) (tools.Answer, error) {
	r := struct {
		Account string `json:"account"`
		Limit   int    `json:"limit"`
	}{Limit: defaultPayments}
	if err := builtin.Arguments(c, &r); err != nil {
		return tools.Answer{}, err
	}
	found, err := query(ctx, l.db, func(rows *sql.Rows) (p payment, err error) {
		return p, rows.Scan(&p.ID, &p.Amount, &p.Refunded, &p.Description, &p.At)
	}, `SELECT id, amount, refunded, description, at FROM payments WHERE account = ? ORDER BY at DESC, id DESC LIMIT ?`, r.Account, min(max(r.Limit, 1), maxPayments))
	if err != nil {
		return tools.Answer{}, unread(ctx, err)
	}
	return builtin.Structured(map[string]any{"payments": found})
}

// query reads all rows; the slice is never nil.
func query[Row any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (Row, error), text string, parameters ...any) ([]Row, error) {
	rows, err := db.QueryContext(ctx, text, parameters...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells
	all := []Row{}
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// unread is the error of reading: nothing was done, unless the call ended meanwhile, which is always uncertain.
func unread(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", tools.ErrUncertain, ctx.Err())
	}
	return fmt.Errorf("%w: %w", tools.ErrNotSent, err)
}
