package index

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Alike says which held calls are alike: of one tool, by one agent, for one person.
type Alike struct {
	Domain    string
	Tool      string
	Agent     string // the current actor
	Principal string
}

// Precedents are what became of held calls.
type Precedents struct {
	Approved  int64 // released, whatever came of it
	Denied    int64 // by people
	Expired   int64
	Cancelled int64 // withdrawn, or overtaken by a change
	Open      int64 // not decided yet
}

const day = 24 * 3600

// fateOf is what people decided about a call; empty if they were never asked.
func fateOf(c *calls.Call) string {
	switch {
	case !held(c):
		return ""
	case c.Releasing.ID != "":
		return pulseApproved
	case c.State == calls.Closed:
		return c.Closing.Type.Word()
	default:
		return tallyOpen
	}
}

// precedentKey is a row of precedents.
type precedentKey struct {
	Alike
	day  int64
	fate string
}

// precedent counts a held call under what became of it by now.
func (w *writer) precedent(e *entry) {
	now := fateOf(&e.call)
	if now == e.fate {
		return
	}
	key := precedentKeyOf(&e.call, e.fate)
	if e.fate != "" {
		w.precedents[key]--
	}
	key.fate, e.fate = now, now
	w.precedents[key]++
}

func precedentKeyOf(c *calls.Call, fate string) precedentKey {
	key := precedentKey{day: bucketOf(c.Opening.Time, day), fate: fate}
	key.Alike = Alike{Domain: c.Domain, Tool: c.Intent.Tool, Principal: c.Intent.Identity.Principal}
	if chain := c.Intent.Identity.Chain; len(chain) > 0 {
		key.Agent = chain[0].ID
	}
	return key
}

// storePrecedents writes what [writer.precedent] has counted.
func (w *writer) storePrecedents() error {
	for k, n := range w.precedents {
		if n == 0 {
			continue
		}
		if err := w.addPrecedent.Run(k.Principal, k.Agent, k.Tool, k.Domain, k.day, k.fate, n); err != nil {
			return err
		}
	}
	return nil
}

// Precedents tell for each of a few kinds of held calls what became of those that
// were opened since the beginning of the day of since. They may lag behind the log.
func (i *Index) Precedents(ctx context.Context, since time.Time, kinds []Alike) (map[Alike]Precedents, error) {
	found := make(map[Alike]Precedents, len(kinds))
	err := i.reading(func(db *sql.DB) error {
		query, err := db.PrepareContext(ctx, `SELECT fate, sum(calls) FROM precedents
			WHERE principal = ? AND agent = ? AND tool = ? AND domain = ? AND day >= ? GROUP BY fate`)
		if err != nil {
			return err
		}
		defer query.Close() //nolint:errcheck // of a statement that was only read by
		for _, k := range kinds {
			if _, asked := found[k]; asked {
				continue
			}
			if found[k], err = precedentsOf(ctx, query, k, bucketOf(since, day)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find precedents: %w", err)
	}
	return found, nil
}

func precedentsOf(ctx context.Context, query *sql.Stmt, k Alike, since int64) (p Precedents, err error) {
	rows, err := query.QueryContext(ctx, k.Principal, k.Agent, k.Tool, k.Domain, since)
	if err != nil {
		return p, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var fate string
		var n int64
		if err := rows.Scan(&fate, &n); err != nil {
			return p, err
		}
		switch fate {
		case pulseApproved:
			p.Approved = n
		case audit.CallDenied.Word():
			p.Denied = n
		case audit.CallExpired.Word():
			p.Expired = n
		case tallyOpen:
			p.Open = n
		default:
			p.Cancelled += n
		}
	}
	return p, rows.Err()
}
