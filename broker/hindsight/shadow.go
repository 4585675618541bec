package hindsight

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Shadowed is what drafts would have decided that were asked beside the policies in force.
type Shadowed struct {
	Since    time.Time     `json:"since,omitzero"`
	Until    time.Time     `json:"until,omitzero"`
	Drafts   []Draft       `json:"drafts"`  // the latest one first
	Unasked  int           `json:"unasked"` // calls that no draft was asked about
	Duration time.Duration `json:"duration"`
}

// Draft is one of them.
type Draft struct {
	PolicySet string    `json:"policy_set"`
	First     time.Time `json:"first"` // call that it was asked about
	Last      time.Time `json:"last"`
	Calls     int       `json:"calls"`
	Same      int       `json:"same"`
	Failed    int       `json:"failed"`  // of them it could not be asked about, or not without an error
	Changes   []Change  `json:"changes"` // the most frequent first
}

// Differs is how many calls the latest draft would have decided otherwise.
func (s *Shadowed) Differs() int {
	if len(s.Drafts) == 0 {
		return 0
	}
	return s.Drafts[0].Calls - s.Drafts[0].Same
}

// Shadows reads what drafts would have decided of each call when it was made.
func Shadows(ctx context.Context, from History, o Options) (*Shadowed, error) {
	begun := time.Now()
	x := shadows{options: o, drafts: map[string]*draft{}, report: &Shadowed{Since: o.Since, Until: o.Until, Drafts: []Draft{}}}
	if err := each(ctx, from, "", nil, x.call); err != nil {
		return nil, fmt.Errorf("read what drafts decided: %w", err)
	}
	for _, d := range x.drafts {
		d.Changes = sortChanges(d.changes)
		x.report.Drafts = append(x.report.Drafts, d.Draft)
	}
	slices.SortFunc(x.report.Drafts, func(a, b Draft) int { return b.Last.Compare(a.Last) })
	x.report.Duration = time.Since(begun)
	return x.report, nil
}

type shadows struct {
	options Options
	drafts  map[string]*draft
	report  *Shadowed
}

type draft struct {
	Draft
	changes map[[2]Fate]*Change
}

func (x *shadows) call(c *calls.Call) error {
	if !x.options.has(c) {
		return nil
	}
	d := &c.Intent.Decision
	if c.Opening.Type == audit.CallDenied {
		d = c.Outcome.Decision
	}
	if d == nil || d.Shadow == nil {
		x.report.Unasked++
		return nil
	}
	s, at := d.Shadow, c.Opening.Time
	one := x.drafts[s.PolicySet]
	if one == nil {
		one = &draft{Draft: Draft{PolicySet: s.PolicySet, First: at}, changes: map[[2]Fate]*Change{}}
		x.drafts[s.PolicySet] = one
	}
	one.Calls++
	if at.Before(one.First) {
		one.First = at
	}
	if at.After(one.Last) {
		one.Last = at
	}
	if len(s.Errors) > 0 {
		one.Failed++
	}
	if s.Effect == d.Effect {
		one.Same++
		return nil
	}
	change(one.changes, c, fateOf(d.Effect), fateOf(s.Effect), s.Reasons, s.Errors, x.options.Examples)
	return nil
}

func fateOf(e audit.Effect) Fate {
	switch e {
	case audit.Allow:
		return Allowed
	case audit.Hold:
		return Held
	default:
		return Denied
	}
}

// change counts a call whose fate would have been another.
func change(changes map[[2]Fate]*Change, c *calls.Call, was, is Fate, reasons []audit.Reason, errs []string, examples int) {
	key := [2]Fate{was, is}
	change := changes[key]
	if change == nil {
		change = &Change{From: was, To: is, Policies: map[string]int{}, Tools: map[string]int{}, Examples: []Example{}}
		changes[key] = change
	}
	change.Calls++
	change.Tools[c.Intent.Tool]++
	seen := map[string]bool{}
	for _, reason := range reasons {
		if name := cmp.Or(reason.Policy, "(no policy permits it)"); !seen[name] {
			seen[name] = true
			change.Policies[name]++
		}
	}
	if len(change.Examples) >= examples {
		return
	}
	e := Example{
		CallID: c.ID, Opened: c.Opening.Time, Tool: c.Intent.Tool, Principal: c.Intent.Identity.Principal, Agents: []string{},
		Approvals: len(c.Votes), Reasons: append([]audit.Reason{}, reasons...), Errors: errs,
	}
	for _, a := range c.Intent.Identity.Chain {
		e.Agents = append(e.Agents, a.ID)
	}
	change.Examples = append(change.Examples, e)
}

func sortChanges(changes map[[2]Fate]*Change) []Change {
	list := make([]Change, 0, len(changes))
	for c := range maps.Values(changes) {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(b.Calls-a.Calls, strings.Compare(string(a.To), string(b.To)), strings.Compare(string(a.From), string(b.From)))
	})
	return list
}
