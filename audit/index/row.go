package index

import (
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Summary is what a list shows of a call.
type Summary struct {
	ID        string         `json:"id"`
	Domain    string         `json:"domain"`
	Tool      string         `json:"tool"` // upstream.tool; empty if the log does not say
	Upstream  string         `json:"upstream"`
	Issuer    string         `json:"issuer"`
	Principal string         `json:"principal,omitempty"` // the human; empty when an agent acts on its own
	Actor     string         `json:"actor,omitempty"`     // the current actor
	Chain     []string       `json:"chain,omitempty"`     // all actors, the current one first
	State     string         `json:"state"`               // see [calls.State]
	Outcome   string         `json:"outcome,omitempty"`   // a code of [audit.Outcome], once closed
	Closing   audit.Type     `json:"closing,omitempty"`   // the event that closed it
	Policies  []string       `json:"policies,omitempty"`  // every policy that determined a decision about it
	Approvers []string       `json:"approvers,omitempty"` // whom a hold waits for
	Voters    []string       `json:"voters,omitempty"`    // who approved, denied or settled it
	Opened    time.Time      `json:"opened"`
	Closed    time.Time      `json:"closed,omitzero"`
	Millis    float64        `json:"duration_ms,omitempty"` // how long the tool ran
	Opening   audit.Position `json:"opening"`
	Ending    audit.Position `json:"ending,omitzero"`
	Trace     string         `json:"traceparent,omitempty"`
	Client    string         `json:"client,omitempty"`
	Session   string         `json:"session,omitempty"`
}

func summarize(c *calls.Call) Summary {
	s := Summary{
		ID: c.ID, Domain: c.Domain, Tool: c.Intent.Tool, Upstream: upstream(c.Intent.Tool),
		Issuer: c.Intent.Identity.Issuer, Principal: c.Intent.Identity.Principal, Chain: chain(c),
		State: c.State.String(), Outcome: c.Outcome.Code, Closing: c.Closing.Type,
		Policies: policies(c), Approvers: c.Intent.Decision.Approvers, Voters: voters(c),
		Opened: c.Opening.Time, Closed: c.Closing.Time, Millis: c.Outcome.Millis,
		Opening: c.Opening.At, Ending: c.Closing.At, Trace: c.Opening.Trace,
		Client: c.Intent.Client, Session: c.Intent.Identity.Session,
	}
	if len(s.Chain) > 0 {
		s.Actor = s.Chain[0]
	}
	return s
}

func upstream(tool string) string {
	name, _, _ := strings.Cut(tool, ".")
	return name
}

func chain(c *calls.Call) []string {
	var ids []string
	for _, a := range c.Intent.Identity.Chain {
		ids = append(ids, a.ID)
	}
	return ids
}

// decisions are all that were taken about a call, in order.
func decisions(c *calls.Call) []audit.Decision {
	all := []audit.Decision{c.Intent.Decision}
	for _, v := range c.Votes {
		all = append(all, v.Decision)
	}
	all = append(all, c.Release.Decision)
	if c.Outcome.Decision != nil {
		all = append(all, *c.Outcome.Decision)
	}
	return all
}

func policies(c *calls.Call) []string {
	var names distinct
	for _, d := range decisions(c) {
		for _, r := range d.Reasons {
			names.add(r.Policy)
		}
	}
	return names
}

func voters(c *calls.Call) []string {
	var names distinct
	for _, v := range c.Votes {
		names.add(v.By.Principal)
	}
	if c.Outcome.By != nil {
		names.add(c.Outcome.By.Principal)
	}
	if c.Reconciled != nil {
		names.add(c.Reconciled.By.Principal)
	}
	return names
}

// distinct is a short list without repetitions.
type distinct []string

func (d *distinct) add(s string) {
	if s != "" && !slices.Contains(*d, s) {
		*d = append(*d, s)
	}
}

// traceID is the second field of a W3C traceparent.
func traceID(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) >= 4 {
		return parts[1]
	}
	return ""
}
