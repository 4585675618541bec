package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
)

// Bounds of a replay.
const (
	replayDays     = 7
	maxReplayDays  = 31
	maxReplay      = 50_000 // calls, the last ones
	replayExamples = 5      // of each change
)

// ReplayRequest is the body of POST /v1/policy/replay.
type ReplayRequest struct {
	Files []PolicyFile `json:"files"`          // the draft
	Days  int          `json:"days,omitempty"` // to look back: 7 unless given, at most 31
}

// Replay is what a draft of the policies would have done to the last calls that the
// viewer may read. It begins later than was asked for if there were too many.
type Replay struct {
	OK        bool            `json:"ok"` // false: the draft is no set of policies, and the findings say why
	Findings  []PolicyFinding `json:"findings"`
	PolicySet string          `json:"policy_set,omitempty"` // of the draft
	Since     time.Time       `json:"since,omitzero"`
	Until     time.Time       `json:"until,omitzero"`
	Calls     int             `json:"calls"` // decided again
	Same      int             `json:"same"`  // of them
	Changes   []Change        `json:"changes"`
	Skipped   []Tally         `json:"skipped"` // calls that could not be decided again, by the reason
	Millis    float64         `json:"duration_ms"`
}

// Change is how many calls would have had another fate.
type Change struct {
	From     string    `json:"from"` // allowed, approved, held or denied
	To       string    `json:"to"`
	Calls    int       `json:"calls"`
	Policies []Tally   `json:"policies"` // of the draft, that determined it
	Tools    []Tally   `json:"tools"`
	Examples []Example `json:"examples"`
}

// Tally is how often something occurred.
type Tally struct {
	Name  string `json:"name"`
	Calls int    `json:"calls"`
}

// Example is one call whose fate would have been another.
type Example struct {
	CallID    string         `json:"call_id"`
	Opened    time.Time      `json:"opened"`
	Tool      string         `json:"tool"`
	Principal string         `json:"principal"`
	Agents    []string       `json:"agents"`
	Reasons   []audit.Reason `json:"reasons"` // of the draft
}

// replayPolicy serves POST /v1/policy/replay. One at a time is enough for a broker that
// has calls to decide.
func (a *api) replayPolicy(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body ReplayRequest
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := v.mayTry(); err != nil {
		return err
	}
	days := cmp.Or(body.Days, replayDays)
	if days < 1 || days > maxReplayDays || len(body.Files) == 0 {
		return invalid("a draft is needed, and 1 to %d days to look back", maxReplayDays)
	}
	if !a.replaying.TryLock() {
		return &broker.Error{Kind: broker.Overloaded, Op: "replay policies", Public: "another draft is being tried; try again", Retry: 5 * time.Second}
	}
	defer a.replaying.Unlock()
	sought := url.Values{"days": {strconv.Itoa(days)}, "draft": {draftDigest(body.Files)}}
	if err := a.cfg.Broker.Reading(r.Context(), v.id, audit.Reading{What: audit.ReadReplay, For: sought.Encode()}); err != nil {
		return err
	}
	set, found, _ := a.cfg.Policies.Check(drafted(body.Files))
	out := Replay{OK: set != nil, Findings: findingsOf(found), Changes: []Change{}, Skipped: []Tally{}}
	if set != nil {
		report, err := a.replay(r.Context(), v, set, time.Now().AddDate(0, 0, -days))
		if err != nil {
			return err
		}
		out.tell(report)
	}
	write(w, http.StatusOK, mediaJSON, out)
	return nil
}

func (a *api) replay(ctx context.Context, v *viewer, draft *policy.Set, since time.Time) (*hindsight.Report, error) {
	withheld := 0
	o := hindsight.Options{
		Since: since.UTC(), Until: time.Now().UTC(), Examples: replayExamples,
		Only: func(c *calls.Call) bool { return v.mayDecideAgain(c, &withheld) },
	}
	start, err := a.cfg.History.Since(ctx, since, maxReplay)
	switch {
	case errors.Is(err, audit.ErrNotFound):
		return &hindsight.Report{PolicySet: draft.Digest(), Since: o.Since, Until: o.Until}, nil
	case err != nil:
		return nil, fmt.Errorf("replay policies: %w", err)
	case start.Calls >= maxReplay:
		o.Since = start.First.UTC()
	}
	o.From = start.From
	if back := longest(draft.Counters()); back > 0 { // what they count of earlier calls
		if earlier, err := a.cfg.History.Since(ctx, o.Since.Add(-back), 2*maxReplay); err == nil {
			o.From = earlier.From
		}
	}
	report, err := hindsight.Replay(ctx, a.cfg.Log, draft, o)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &broker.Error{Kind: broker.Overloaded, Op: "replay policies", Err: err, Public: "there were too many calls to decide again in time; look back for fewer days, or use deed policy replay"}
	}
	if err == nil && withheld > 0 {
		report.Skipped["you may not read what it was made with"] = withheld
	}
	return report, err
}

// mayDecideAgain reports whether the viewer may try policies on a call: what these make of
// it tells what it was made with. Those that are withheld are counted.
func (v *viewer) mayDecideAgain(c *calls.Call, withheld *int) bool {
	reads := v.reads(broker.SubjectOf(*c))
	if reads == policy.TierMetadata {
		*withheld++
	}
	return reads.Covers(policy.TierArguments)
}

func longest(counters []policy.Counter) (back time.Duration) {
	for _, c := range counters {
		back = max(back, c.Window)
	}
	return back
}

func (out *Replay) tell(r *hindsight.Report) {
	out.PolicySet, out.Since, out.Until, out.Calls, out.Same, out.Millis = r.PolicySet, r.Since, r.Until, r.Calls, r.Same, millis(r.Duration)
	out.Skipped = tallies(r.Skipped)
	for _, c := range r.Changes {
		change := Change{From: string(c.From), To: string(c.To), Calls: c.Calls, Policies: tallies(c.Policies), Tools: tallies(c.Tools), Examples: []Example{}}
		for _, e := range c.Examples {
			change.Examples = append(change.Examples, Example{
				CallID: e.CallID, Opened: utc(e.Opened), Tool: e.Tool, Principal: e.Principal, Agents: append([]string{}, e.Agents...),
				Reasons: append([]audit.Reason{}, e.Reasons...),
			})
		}
		out.Changes = append(out.Changes, change)
	}
}

// tallies are the most frequent first.
func tallies(counts map[string]int) []Tally {
	list := []Tally{}
	for name, n := range counts {
		list = append(list, Tally{name, n})
	}
	slices.SortFunc(list, func(a, b Tally) int { return cmp.Or(b.Calls-a.Calls, strings.Compare(a.Name, b.Name)) })
	return list
}
