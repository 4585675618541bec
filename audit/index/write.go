package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit/calls"
)

// tallyOpen is what calls that are not closed are counted under.
const tallyOpen = "open"

// writer holds the statements of one transaction.
type writer struct {
	find, create, update, event, facet, word, count, uncount, at *sql.Stmt
}

func newWriter(ctx context.Context, tx *sql.Tx) (*writer, error) {
	w := &writer{}
	for _, s := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&w.find, `SELECT n, folded, (SELECT count(*) FROM events WHERE call = n) FROM calls WHERE id = ?`},
		{&w.create, `INSERT INTO calls (id, domain, tool, state, outcome, opened, closed, folded) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.update, `UPDATE calls SET domain = ?, tool = ?, state = ?, outcome = ?, opened = ?, closed = ?, folded = ? WHERE n = ?`},
		{&w.event, `INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.facet, `INSERT OR IGNORE INTO facets SELECT * FROM (VALUES` + strings.Repeat(`(?, ?, ?), `, facetsAtOnce-1) + `(?, ?, ?)) WHERE column1 <> ''`},
		{&w.word, `INSERT OR REPLACE INTO words(rowid, text) VALUES (?, ?)`},
		{&w.count, `INSERT INTO tally VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET
			calls = calls + 1, first = min(first, excluded.first), last = max(last, excluded.last)`},
		{&w.uncount, `UPDATE tally SET calls = calls - 1 WHERE agent = ? AND domain = ? AND principal = ? AND tool = ? AND outcome = ?`},
		{&w.at, `UPDATE place SET cursor = ?, records = ?, newest = ?, before = ?, last = ?, digest = ?`},
	} {
		stmt, err := tx.PrepareContext(ctx, s.query) //nolint:sqlclosecheck // closed with the transaction
		if err != nil {
			return nil, err
		}
		*s.stmt = stmt
	}
	return w, nil
}

func (w *writer) place(ctx context.Context, p place) error {
	_, err := w.at.ExecContext(ctx, p.cursor, p.records, nanos(p.newest), p.before, p.last, p.digest)
	return err
}

func (w *writer) store(ctx context.Context, e *entry, arguments []byte) error {
	c := &e.call
	folded, err := json.Marshal(c) //nolint:musttag // read back by this version of this package alone
	if err != nil {
		return err
	}
	s := summarize(c)
	opened := c.Opening.Time
	if opened.IsZero() && len(e.change) > 0 { // a call that nothing opened
		opened = e.change[0].event.Time
	}
	if e.fresh {
		res, err := w.create.ExecContext(ctx, c.ID, s.Domain, s.Tool, s.State, s.Outcome, nanos(opened), nanos(s.Closed), folded)
		if err != nil {
			return err
		}
		if e.n, err = res.LastInsertId(); err != nil {
			return err
		}
	} else if _, err := w.update.ExecContext(ctx, s.Domain, s.Tool, s.State, s.Outcome, nanos(opened), nanos(s.Closed), folded, e.n); err != nil {
		return err
	}
	if err := w.events(ctx, e); err != nil {
		return err
	}
	if err := w.addFacets(ctx, e); err != nil {
		return err
	}
	if _, err := w.word.ExecContext(ctx, e.n, textOf(c, arguments)); err != nil {
		return err
	}
	return w.tally(ctx, e)
}

// facetsAtOnce is how many facets one statement stores: as many as most calls have.
const facetsAtOnce = 8

// addFacets stores those that are not known to be there.
func (w *writer) addFacets(ctx context.Context, e *entry) error {
	var missing [][2]string
	for _, f := range facets(&e.call) {
		if f[1] != "" && !slices.Contains(e.facets, f) {
			missing = append(missing, f)
		}
	}
	for some := range slices.Chunk(missing, facetsAtOnce) {
		args := make([]any, 0, 3*facetsAtOnce)
		for _, f := range some {
			args = append(args, f[0], f[1], e.n)
		}
		for len(args) < cap(args) {
			args = append(args, "", "", e.n)
		}
		if _, err := w.facet.ExecContext(ctx, args...); err != nil {
			return err
		}
	}
	e.facets = append(e.facets, missing...)
	return nil
}

func (w *writer) events(ctx context.Context, e *entry) error {
	for k, c := range e.change {
		p := c.item.record.Position
		_, err := w.event.ExecContext(ctx, e.n, e.events+int64(k), p.Log, p.Index, string(c.item.before),
			c.event.ID, string(c.event.Type), nanos(c.event.Time), c.event.Source, c.counted, c.finding)
		if err != nil {
			return err
		}
	}
	return nil
}

// tallied is what a call is counted under: "" if no agent made it.
func tallied(c *calls.Call) string {
	switch {
	case c.State == calls.None || len(c.Intent.Identity.Chain) == 0:
		return ""
	case c.State == calls.Closed:
		return c.Outcome.Code
	default:
		return tallyOpen
	}
}

// tally counts the call under its agent and outcome of now.
func (w *writer) tally(ctx context.Context, e *entry) error {
	c := &e.call
	now := tallied(c)
	if now == e.tally {
		return nil
	}
	agent, principal, tool := c.Intent.Identity.Chain[0].ID, c.Intent.Identity.Principal, c.Intent.Tool
	if e.tally != "" {
		if _, err := w.uncount.ExecContext(ctx, agent, c.Domain, principal, tool, e.tally); err != nil {
			return err
		}
	}
	last := latest(c.Opening.Time, c.Closing.Time)
	_, err := w.count.ExecContext(ctx, agent, c.Domain, principal, tool, now, nanos(c.Opening.Time), nanos(last))
	e.tally = now
	return err
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
