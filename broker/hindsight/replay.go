package hindsight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
)

// Fate is what became of a call, as far as policy and approvals decide.
type Fate string

// The fates.
const (
	Allowed  Fate = "allowed"  // at once
	Approved Fate = "approved" // held, and the approvals sufficed
	Held     Fate = "held"     // held, and the approvals did not suffice
	Denied   Fate = "denied"
)

// Options say what is decided again.
type Options struct {
	Since, Until time.Time // when calls were opened; zero: whenever
	Examples     int       // of each change; 0 for none

	// From is where reading begins; without it, at the beginning. Calls that were opened
	// before it are not there, nor do they count for what policies look back at.
	From audit.Cursor
	// Only are the calls that are decided again; nil for all.
	Only func(*calls.Call) bool
}

// has reports whether a call is of the time that is asked about.
func (o Options) has(c *calls.Call) bool {
	opened := c.Opening.Time
	return !opened.Before(o.Since) && (o.Until.IsZero() || opened.Before(o.Until))
}

// Report is what a draft would have done.
type Report struct {
	PolicySet string         `json:"policy_set"` // of the draft
	Since     time.Time      `json:"since,omitzero"`
	Until     time.Time      `json:"until,omitzero"`
	Calls     int            `json:"calls"`   // decided again
	Same      int            `json:"same"`    // of them
	Changes   []Change       `json:"changes"` // the most frequent first
	Skipped   map[string]int `json:"skipped"` // calls that could not be decided again, by the reason
	Duration  time.Duration  `json:"duration"`
}

// Change is how many calls would have had another fate.
type Change struct {
	From     Fate           `json:"from"`
	To       Fate           `json:"to"`
	Calls    int            `json:"calls"`
	Policies map[string]int `json:"policies"` // of the draft, that determined it
	Tools    map[string]int `json:"tools"`
	Examples []Example      `json:"examples"` // the first ones
}

// Example is one call whose fate would have been another.
type Example struct {
	CallID    string         `json:"call_id"`
	Opened    time.Time      `json:"opened"`
	Tool      string         `json:"tool"`
	Principal string         `json:"principal,omitempty"`
	Agents    []string       `json:"agents"`
	Approvals int            `json:"approvals"`
	Reasons   []audit.Reason `json:"reasons"` // of the draft
	Errors    []string       `json:"errors,omitempty"`
}

// Newly is how many calls would newly have had a fate.
func (r *Report) Newly(to Fate) int {
	n := 0
	for _, c := range r.Changes {
		if c.To == to {
			n += c.Calls
		}
	}
	return n
}

// Replay decides the calls of a history again by a draft.
func Replay(ctx context.Context, from History, draft *policy.Set, o Options) (*Report, error) {
	begun := time.Now()
	x := replay{from: from, draft: draft, options: o, changes: map[[2]Fate]*Change{}, report: &Report{
		PolicySet: draft.Digest(), Since: o.Since, Until: o.Until, Changes: []Change{}, Skipped: map[string]int{},
	}}
	counted := x.recall.counting(ctx, from, draft)
	if err := each(ctx, from, o.From, counted, func(c *calls.Call) error { return x.call(ctx, c) }); err != nil {
		return nil, fmt.Errorf("replay policies: %w", err)
	}
	x.report.Changes = sortChanges(x.changes)
	x.report.Duration = time.Since(begun)
	return x.report, nil
}

type replay struct {
	from    History
	draft   *policy.Set
	options Options
	changes map[[2]Fate]*Change
	recall  recall
	report  *Report
}

func (x *replay) call(ctx context.Context, c *calls.Call) error {
	if !x.options.has(c) {
		return nil
	}
	if x.options.Only != nil && !x.options.Only(c) {
		return nil
	}
	was, ok := fate(c)
	if !ok {
		x.report.Skipped["refused before any policy was asked: "+c.Outcome.Code]++
		return nil
	}
	is, d, skipped, err := Again(ctx, x.from, x.draft, c, x.recall.of(c))
	switch {
	case err != nil:
		return err
	case skipped != "":
		x.report.Skipped[skipped]++
		return nil
	}
	x.report.Calls++
	if was == is {
		x.report.Same++
		return nil
	}
	change(x.changes, c, was, is, d.Reasons, d.Errors, x.options.Examples)
	return nil
}

// fate is what became of a call. It is false for one that policy was not asked about.
func fate(c *calls.Call) (Fate, bool) {
	switch {
	case c.Opening.Type == audit.CallDenied:
		return Denied, c.Outcome.Code == audit.CodePolicy && c.Outcome.Decision != nil
	case c.Intent.Decision.Effect == audit.Allow:
		return Allowed, true
	case c.Releasing.ID != "":
		return Approved, true
	default:
		return Held, true
	}
}

// Again decides one call by a set as of its time, with the approvals that it got and
// the values that the set's counters had. It says why where that cannot be done.
func Again(ctx context.Context, from audit.Payloads, set *policy.Set, c *calls.Call, recent map[string]int64) (Fate, audit.Decision, string, error) {
	args, err := arguments(ctx, from, c)
	switch {
	case errors.Is(err, audit.ErrErased):
		return "", audit.Decision{}, "its arguments have been erased", nil
	case errors.Is(err, audit.ErrCorrupt):
		return "", audit.Decision{}, "its arguments are not what was recorded", nil
	case errors.Is(err, errRedacted):
		return "", audit.Decision{}, "some of its arguments are redacted", nil
	case ctx.Err() != nil:
		return "", audit.Decision{}, "", ctx.Err()
	case err != nil:
		return "", audit.Decision{}, "its arguments are not there", nil //nolint:nilerr // the report says how many
	}
	id := c.Intent.Identity
	r := policy.Request{
		Tool: c.Intent.Tool, Links: policy.LinksOf(id), Input: args.Value, Text: string(args.Canonical),
		Scopes: id.Scopes, ACR: id.ACR, TokenExpires: id.Expires, Now: c.Opening.Time, Recent: recent,
	}
	d, err := set.Decide(r)
	if _, unknown := errors.AsType[*policy.UnknownToolError](err); unknown {
		return "", d, "nothing is known of its tool", nil
	}
	switch d.Effect {
	case audit.Allow:
		return Allowed, d, "", nil
	case audit.Hold:
		if lifted := approved(set, r, d, c); lifted {
			return Approved, d, "", nil
		}
		return Held, d, "", nil
	default:
		return Denied, d, "", nil
	}
}

// approved reports whether the approvals of then lift the hold: those of people whom
// it names.
func approved(set *policy.Set, r policy.Request, hold audit.Decision, c *calls.Call) bool {
	for _, v := range c.Votes {
		if policy.MayLift(hold.Approvers, v.By.Roles) {
			r.Approvals.Count++
			r.Approvals.Roles = append(r.Approvals.Roles, v.By.Roles...)
		}
	}
	if r.Approvals.Count == 0 {
		return false
	}
	d, err := set.Decide(r)
	return err == nil && d.Effect == audit.Allow
}
