package httpapi

import (
	"net/http"
	"time"

	"github.com/deedbroker/deed/tools"
)

// Upstream is how one upstream fares, as this replica sees it. Nothing that an upstream wrote is in it.
type Upstream struct {
	Upstream    string     `json:"upstream"`
	Domain      string     `json:"domain"`
	Breaker     string     `json:"breaker"` // closed: calls are sent; half-open: one is, to try; open: none are
	Health      string     `json:"health"`  // why it cannot take calls now; empty if it can
	Since       time.Time  `json:"since"`   // when it became well, or ceased to be
	Restarts    int        `json:"restarts"`
	Stopped     string     `json:"stopped,omitempty"` // why it stopped last
	StoppedAt   *time.Time `json:"stopped_at,omitempty"`
	Tools       int        `json:"tools"`
	Quarantined int        `json:"quarantined"`     // of its tools
	Notes       []string   `json:"notes,omitempty"` // about definitions that could not become tools, for readers of its domain
}

// listUpstreams serves GET /v1/upstreams: those that have a tool which the viewer could
// call, or whose domain they may read.
func (a *api) listUpstreams(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "limit", "cursor")
	limit := p.limit()
	if p.err != nil {
		return p.err
	}
	visible := map[string]bool{}
	for _, t := range a.cfg.Broker.Visible(r.Context(), v.id) {
		visible[t.Upstream] = true
	}
	items := []Upstream{}
	for _, s := range a.cfg.Catalogue.Status() {
		reads := v.mayReadDomain(s.Domain)
		if reads || visible[s.Upstream] {
			items = append(items, upstreamOf(s, reads))
		}
	}
	list, err := page(items, func(u Upstream) string { return u.Upstream }, limit, p.text("cursor"))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, list)
	return nil
}

func upstreamOf(s tools.Status, reads bool) Upstream {
	u := Upstream{
		Upstream: s.Upstream, Domain: s.Domain, Breaker: string(s.State), Since: s.Since.UTC(),
		Restarts: s.Restarts, Tools: s.Tools, Quarantined: s.Quarantined,
	}
	if s.Err != nil {
		u.Health = s.Err.Error()
	}
	if s.Stopped != nil {
		at := s.StoppedAt.UTC()
		u.Stopped, u.StoppedAt = s.Stopped.Error(), &at
	}
	if reads {
		u.Notes = s.Notes
	}
	return u
}
