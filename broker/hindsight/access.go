package hindsight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
)

// Access is what one person through one chain of agents may call, and did.
type Access struct {
	Principal string   `json:"principal,omitempty"`
	Agents    []string `json:"agents"`
	Roles     []string `json:"roles"` // of the person, as their last token said
	Granted   []Grant  `json:"granted"`
}

// Grant is one tool that may be called, or was.
type Grant struct {
	Tool    string    `json:"tool"`
	Granted bool      `json:"granted"` // by the policies in force: with some arguments, at worst after approvals
	Calls   int       `json:"calls"`   // that were permitted
	Denied  int       `json:"denied"`
	Last    time.Time `json:"last,omitzero"` // when it was last called
}

type used struct {
	access Access
	last   audit.Identity
	at     time.Time
	tools  map[string]*Grant
}

// Review compares what policies grant to those who called with what these used,
// between two times: an access review.
func Review(ctx context.Context, from History, set *policy.Set, o Options) ([]Access, error) {
	all := map[string]*used{}
	err := each(ctx, from, o.From, nil, func(c *calls.Call) error {
		opened := c.Opening.Time
		if opened.Before(o.Since) || (!o.Until.IsZero() && !opened.Before(o.Until)) {
			return nil
		}
		id := c.Intent.Identity
		agents := []string{}
		for _, a := range id.Chain {
			agents = append(agents, a.ID)
		}
		key := id.Issuer + "\x00" + id.Principal + "\x00" + strings.Join(agents, "\x00")
		u := all[key]
		if u == nil {
			u = &used{access: Access{Principal: id.Principal, Agents: agents}, tools: map[string]*Grant{}}
			all[key] = u
		}
		if opened.After(u.at) {
			u.at, u.last = opened, id
		}
		g := u.tools[c.Intent.Tool]
		if g == nil {
			g = &Grant{Tool: c.Intent.Tool}
			u.tools[c.Intent.Tool] = g
		}
		if c.Opening.Type == audit.CallDenied || c.Closing.Type == audit.CallDenied {
			g.Denied++
		} else {
			g.Calls++
		}
		if opened.After(g.Last) {
			g.Last = opened
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("review access: %w", err)
	}
	list := []Access{}
	for _, u := range all {
		for _, tool := range set.Visible(policy.LinksOf(u.last), u.last.Scopes) {
			if u.tools[tool] == nil {
				u.tools[tool] = &Grant{Tool: tool}
			}
			u.tools[tool].Granted = true
		}
		u.access.Roles = append([]string{}, u.last.Roles...)
		for _, g := range u.tools {
			u.access.Granted = append(u.access.Granted, *g)
		}
		slices.SortFunc(u.access.Granted, func(a, b Grant) int { return strings.Compare(a.Tool, b.Tool) })
		list = append(list, u.access)
	}
	slices.SortFunc(list, func(a, b Access) int {
		return cmp.Or(strings.Compare(a.Principal, b.Principal), slices.Compare(a.Agents, b.Agents))
	})
	return list, nil
}
