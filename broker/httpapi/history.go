package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/broker"
)

// maxRounds bounds how many pages of the index one request looks through when
// most of what they hold is not for the viewer: the answer is then short, with a
// cursor to go on.
const maxRounds = 8

// listCalls serves GET /v1/calls.
func (a *api) listCalls(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parseCalls(r.URL.RawQuery)
	q, export := p.calls(), p.word("export")
	if p.err != nil {
		return p.err
	}
	if q.State == "held" {
		return a.listHeld(w, r, v, p)
	}
	own := a.narrow(v, &q, p.text("domain"))
	if err := a.sought(r, v, q, export, own); err != nil {
		return err
	}
	list, err := a.search(r, v, q)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, list)
	return nil
}

// sought records, before its first page, a search that tells what calls were made with, one
// whose calls go to another system, and a list of other people's calls.
func (a *api) sought(r *http.Request, v *viewer, q index.Query, export string, own bool) error {
	look := audit.Reading{What: audit.ReadSearch, For: soughtFor(r.URL.Query())}
	switch {
	case q.After != "":
		return nil
	case export != "":
		look.What = audit.ReadExport
	case q.Text == "" && len(q.Arguments) == 0 && own:
		return nil
	case q.Text == "" && len(q.Arguments) == 0:
		look.What = audit.ReadList
		return a.cfg.Broker.Browsing(r.Context(), v.id, look)
	}
	return a.cfg.Broker.Reading(r.Context(), v.id, look)
}

// soughtFor is a query as it is recorded: without what only places a page.
func soughtFor(q url.Values) string {
	q.Del("limit")
	return q.Encode()
}

// narrow keeps a search to what the viewer may read: the domains that are theirs to
// read, or else (and whenever they ask for themselves) their own calls in any, which it
// reports.
func (a *api) narrow(v *viewer, q *index.Query, domain string) (own bool) {
	all, readable := a.domains(v)
	own = v.id.Person() && (q.Person == v.id.Principal || (len(readable) == 0 && q.Person == ""))
	q.Domains = readable
	if own {
		q.Domains, q.Person = all, v.id.Principal
	}
	if domain != "" {
		q.Domains = slices.DeleteFunc(slices.Clone(q.Domains), func(d string) bool { return d != domain })
	}
	for _, d := range q.Domains {
		if v.mayMatch(broker.Subject{Domain: d}) || (own && a.mayMatchOwn(v, d)) {
			q.Readable = append(q.Readable, d)
		}
	}
	return own
}

// mayMatchOwn reports whether the viewer may read what calls of a domain that were made for
// them were made with, of every tool.
func (a *api) mayMatchOwn(v *viewer, domain string) bool {
	may := false
	for _, t := range a.cfg.Catalogue.Tools() {
		if t.Domain != domain {
			continue
		}
		if may = v.mayMatch(broker.Subject{Domain: domain, Principal: v.id.Principal, Tool: t.Name()}); !may {
			return false
		}
	}
	return may
}

// search pages through the index until there are as many calls as asked for that the
// viewer may read, each asked for by itself.
func (a *api) search(r *http.Request, v *viewer, q index.Query) (List[CallSummary], error) {
	list := List[CallSummary]{Items: []CallSummary{}}
	limit, byContent := q.Limit, q.Text != "" || len(q.Arguments) > 0
	for range maxRounds {
		q.Limit = limit - len(list.Items)
		found, err := a.cfg.History.Search(r.Context(), q)
		if err != nil {
			return list, fmt.Errorf("list calls: %w", err)
		}
		for _, c := range found.Folded {
			s := broker.SubjectOf(c)
			if v.mayRead(s) && (!byContent || v.mayMatch(s) || q.FoundWithoutArguments(&c)) {
				list.Items = append(list.Items, summarize(c))
			}
		}
		list.Next, q.After = found.Next, found.Next
		if list.Next == "" || len(list.Items) == limit {
			break
		}
	}
	return list, nil
}

// listHeld serves the calls that wait for people, the earliest deadline first, from
// the broker itself.
func (a *api) listHeld(w http.ResponseWriter, r *http.Request, v *viewer, p *parameters) error {
	if wrong := p.given("outcome", "code", "approver", "q", "trace", "session", "arg"); len(wrong) > 0 {
		return invalid("held calls cannot be filtered by %s", strings.Join(wrong, ", "))
	}
	var items []HeldCall
	since, until := p.time("since"), p.time("until")
	for _, h := range a.cfg.Broker.Pending(r.Context(), v.id) {
		c := held(h)
		if h.State != calls.Held || !p.wants(c) || c.Opened.Before(since) || (!until.IsZero() && !c.Opened.Before(until)) {
			continue
		}
		items = append(items, c)
	}
	key := func(c HeldCall) string { return c.Expires.Format("2006-01-02T15:04:05.000000000") + c.CallID }
	list, err := page(items, key, p.limit(), p.text("cursor"))
	if err != nil {
		return err
	}
	if err := a.revealHeld(r, v, list.Items); err != nil {
		return err
	}
	shown := make([]*HeldCall, len(list.Items))
	for i := range list.Items {
		shown[i] = &list.Items[i]
	}
	a.precede(r.Context(), shown...)
	write(w, http.StatusOK, mediaJSON, list)
	return nil
}

// wants reports whether a held call fits the filters, as the index understands them.
func (p *parameters) wants(c HeldCall) bool {
	is := func(name, value string) bool { return p.text(name) == "" || p.text(name) == value }
	has := func(name string, values []string) bool {
		return p.text(name) == "" || slices.Contains(values, p.text(name))
	}
	return is("person", c.Principal) && is("domain", c.Domain) && has("agent", c.Chain) && has("policy", c.Policies) &&
		fits(c.Tool, p.text("tool"))
}

// fits reports whether a tool matches upstream.tool, upstream. or a prefix with *.
func fits(tool, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(tool, prefix)
	}
	if strings.HasSuffix(pattern, ".") {
		return strings.HasPrefix(tool, pattern)
	}
	return pattern == "" || pattern == tool
}
