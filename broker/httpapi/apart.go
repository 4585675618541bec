package httpapi

import (
	"net/url"

	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/index"
)

// parseCalls reads the parameters of a search for calls.
func parseCalls(raw string) *parameters {
	return parse(raw, "state", "agent", "person", "tool", "domain", "outcome", "code", "policy", "approver",
		"since", "until", "q", "trace", "session", "arg", "export", "limit", "cursor")
}

// calls is the search that the parameters mean, but for the domains in which it is made.
func (p *parameters) calls() index.Query {
	outcome := p.one("outcome", outcomeResult, outcomeFailed, outcomeDenied, outcomeExpired, outcomeCancelled, outcomeUnknown)
	return index.Query{
		Person: p.text("person"), Agent: p.text("agent"), Tool: p.text("tool"), Outcome: p.text("code"), Outcomes: codesOf(outcome), Policy: p.text("policy"),
		Approver: p.text("approver"), Since: p.time("since"), Until: p.time("until"), Text: p.text("q"), Trace: p.text("trace"),
		Session: p.text("session"), Arguments: p.arguments("arg"),
		State: p.one("state", "running", "held", "released", "closed"), Limit: p.limit(), After: p.text("cursor"),
	}
}

// ParseSearch is the search that a query of GET /v1/calls means, in the domain that it
// names; empty for all. It is for histories that no broker serves, such as archives.
func ParseSearch(query url.Values) (q index.Query, domain string, err error) {
	p := parseCalls(query.Encode())
	return p.calls(), p.text("domain"), p.err
}

// Summarize is a call as GET /v1/calls lists it.
func Summarize(c calls.Call) CallSummary { return summarize(c) }

// Describe is a call as GET /v1/calls/{id} shows it, but for its events and payloads.
func Describe(c calls.Call) CallDetail {
	return CallDetail{HeldCall: describe(c), Events: []CallEvent{}, Reconciled: reconciliation(c.Reconciled)}
}
