package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// removedAtOnce bounds the calls that go in one transaction.
const removedAtOnce = 500

// Remove forgets calls whose records retention has removed, or is about to, and leaves
// no trace of them in the file but in what was counted by the minute and hour.
// Unknown calls are skipped.
func (i *Index) Remove(ctx context.Context, ids ...string) error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.write == nil {
		return fmt.Errorf("forget calls: %w", errClosed)
	}
	for some := range slices.Chunk(ids, removedAtOnce) {
		if err := i.write.transact(func(w *writer) error { return w.remove(some) }); err != nil {
			return fmt.Errorf("forget calls: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("forget calls: %w", err)
		}
	}
	err := i.write.transact(func(w *writer) error {
		for _, counted := range []string{`DELETE FROM tally WHERE calls <= 0`, `DELETE FROM precedents WHERE calls <= 0`} {
			if err := w.conn.Exec(ctx, counted); err != nil {
				return err
			}
		}
		return w.merge(ctx)
	})
	if err == nil {
		err = i.write.truncate(ctx)
	}
	if err != nil {
		return fmt.Errorf("forget calls: %w", err)
	}
	return nil
}

func (w *writer) remove(ids []string) error {
	for _, id := range ids {
		e, err := w.load(id)
		if err == nil && e != nil {
			w.uncount(e)
			if err = w.dropWords.Run(e.n); err == nil {
				err = w.dropCall.Run(e.n)
			}
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(w.storeTallies(), w.storePrecedents())
}

// uncount takes a call out of what is counted by its people and agents.
func (w *writer) uncount(e *entry) {
	c := &e.call
	if e.tally != "" {
		w.tallied(tallyKey{c.Intent.Identity.Chain[0].ID, c.Domain, c.Intent.Identity.Principal, c.Intent.Tool, e.tally}).calls--
	}
	if e.fate != "" {
		w.precedents[precedentKeyOf(c, e.fate)]--
	}
}

// merge removes what is under the tombstones that deleting leaves in the full text.
func (w *writer) merge(ctx context.Context) error {
	return w.conn.Exec(ctx, `INSERT INTO words(words) VALUES('optimize')`)
}
