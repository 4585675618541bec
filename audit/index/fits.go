package index

import (
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit/calls"
)

// Fits reports whether a call is what a query asks for, by what its events say: for
// histories that are not indexed, such as archives. Arguments are not looked at. A query
// without domains is one for all of them.
func (q Query) Fits(c *calls.Call) bool {
	facets := map[string][]string{}
	eachFacet(c, func(kind, value string) { facets[kind] = append(facets[kind], value) })
	for kind, wanted := range map[string]string{
		facetState: q.State, facetOutcome: q.Outcome, facetTrace: q.Trace, facetSession: q.Session,
		facetVoter: q.Approver, facetPolicy: q.Policy, facetPerson: q.Person, facetAgent: q.Agent,
	} {
		if wanted != "" && !slices.Contains(facets[kind], wanted) {
			return false
		}
	}
	opened := c.Opening.Time
	return (len(q.Domains) == 0 || slices.Contains(q.Domains, c.Domain)) &&
		(len(q.Outcomes) == 0 || slices.Contains(q.Outcomes, c.Outcome.Code)) &&
		fitsTool(c.Intent.Tool, q.Tool) &&
		!opened.Before(q.Since) && (q.Until.IsZero() || opened.Before(q.Until)) &&
		q.FoundWithoutArguments(c)
}

// fitsTool reports whether a tool is upstream.tool, of upstream., or begins as a prefix
// that ends in * does.
func fitsTool(tool, wanted string) bool {
	if prefix, ok := strings.CutSuffix(wanted, "*"); ok {
		return strings.HasPrefix(tool, prefix)
	}
	if name, ok := strings.CutSuffix(wanted, "."); ok {
		return upstream(tool) == name
	}
	return wanted == "" || tool == wanted
}
