package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what [Index.Agents] returns.
const (
	MaxAgents = 1000
	maxNames  = 100 // people and tools of one agent
)

// Agent is what the history knows of a current actor.
type Agent struct {
	ID       string           `json:"id"`
	First    time.Time        `json:"first"` // when it first called
	Last     time.Time        `json:"last"`  // when a call of it was last opened or closed
	For      []string         `json:"for"`   // on whose behalf; empty: only its own
	Tools    []string         `json:"tools"`
	Outcomes map[string]int64 `json:"outcomes"` // calls by outcome code; "open" for those not closed
}

// Agents lists who acted in these domains, the most recently active first.
func (i *Index) Agents(ctx context.Context, domains ...string) ([]Agent, error) {
	if len(domains) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(domains)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	i.fresh(ctx)
	found := map[string]*Agent{}
	err = i.reading(func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, `SELECT agent, principal, tool, outcome, calls, first, last FROM tally
			WHERE calls > 0 AND domain IN (SELECT value FROM json_each(?))`, string(list))
		if err != nil {
			return err
		}
		defer rows.Close() //nolint:errcheck // rows.Err tells
		for rows.Next() {
			var agent, principal, tool, outcome string
			var n, first, last int64
			if err := rows.Scan(&agent, &principal, &tool, &outcome, &n, &first, &last); err != nil {
				return err
			}
			a := found[agent]
			if a == nil {
				a = &Agent{ID: agent, First: fromNanos(first), Outcomes: map[string]int64{}}
				found[agent] = a
			}
			a.merge(principal, tool, outcome, n, fromNanos(first), fromNanos(last))
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	all := make([]Agent, 0, len(found))
	for _, a := range found {
		slices.Sort(a.For)
		slices.Sort(a.Tools)
		all = append(all, *a)
	}
	slices.SortFunc(all, func(a, b Agent) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all[:min(len(all), MaxAgents)], nil
}

func (a *Agent) merge(principal, tool, outcome string, n int64, first, last time.Time) {
	if first.Before(a.First) {
		a.First = first
	}
	a.Last = latest(a.Last, last)
	a.Outcomes[outcome] += n
	if len(a.For) < maxNames {
		(*distinct)(&a.For).add(principal)
	}
	if len(a.Tools) < maxNames {
		(*distinct)(&a.Tools).add(tool)
	}
}
