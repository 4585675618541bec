package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
)

type chargeRequest struct {
	Account     string `json:"account"`
	Amount      int64  `json:"amount"`
	Description string `json:"description"`
}

func charge(ctx context.Context, tx *sql.Tx, r chargeRequest) (tools.Answer, error) {
	currency, err := currencyOf(ctx, tx, r.Account)
	if errors.Is(err, sql.ErrNoRows) {
		return builtin.Failure("there is no such account"), nil
	}
	if err != nil {
		return tools.Answer{}, err
	}
	id, err := newID("pay-")
	if err != nil {
		return tools.Answer{}, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO payments (id, account, amount, description, at) VALUES (?, ?, ?, ?, ?)`,
		id, r.Account, r.Amount, r.Description, now()); err != nil {
		return tools.Answer{}, err
	}
	return builtin.Structured(map[string]any{"payment": id, "amount": r.Amount, "currency": currency})
}

type refundRequest struct {
	Payment string `json:"payment"`
	Amount  int64  `json:"amount"`
	Reason  string `json:"reason"`
}

func refund(ctx context.Context, tx *sql.Tx, r refundRequest) (tools.Answer, error) {
	var paid, refunded int64
	var currency string
	err := tx.QueryRowContext(ctx, `SELECT p.amount, p.refunded, a.currency FROM payments p JOIN accounts a ON a.id = p.account WHERE p.id = ?`, r.Payment).
		Scan(&paid, &refunded, &currency)
	if errors.Is(err, sql.ErrNoRows) {
		return builtin.Failure("there is no such payment"), nil
	}
	if err != nil {
		return tools.Answer{}, err
	}
	if r.Amount < 1 || r.Amount > paid-refunded {
		return builtin.Failure(fmt.Sprintf("of this payment only %d %s can still be refunded", paid-refunded, currency)), nil
	}
	id, err := newID("ref-")
	if err != nil {
		return tools.Answer{}, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO refunds (id, payment, amount, reason, at) VALUES (?, ?, ?, ?, ?)`, id, r.Payment, r.Amount, r.Reason, now()); err != nil {
		return tools.Answer{}, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE payments SET refunded = refunded + ? WHERE id = ?`, r.Amount, r.Payment); err != nil {
		return tools.Answer{}, err
	}
	return builtin.Structured(map[string]any{
		"refund": id, "payment": r.Payment, "amount": r.Amount, "currency": currency, "left": paid - refunded - r.Amount,
	})
}

func currencyOf(ctx context.Context, tx *sql.Tx, account string) (currency string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT currency FROM accounts WHERE id = ?`, account).Scan(&currency)
	return currency, err
}

func newID(prefix string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make id: %w", err)
	}
	return prefix + id.String(), nil
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }
