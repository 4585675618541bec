package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/grants"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/broker"
)

const (
	previewFor = 30 * 24 * time.Hour
	previewOf  = 200 // calls, the latest
)

// Condition is about one argument: exactly one of its comparisons is set.
type Condition struct {
	Field   string         `json:"field"`              // JSON pointer, such as /amount
	Equals  jsontext.Value `json:"equals,omitempty"`   // any JSON value
	AtMost  string         `json:"at_most,omitempty"`  // a number, as text so that none is rounded
	AtLeast string         `json:"at_least,omitempty"` // the same
}

// GrantRequest is the body of POST /v1/grants and /v1/grant-preview.
type GrantRequest struct {
	CallID string      `json:"call_id"` // the held call that it is made from
	Digest string      `json:"digest"`  // the call digest that the person was shown
	Where  []Condition `json:"where"`
	Uses   int         `json:"uses"`
	Until  time.Time   `json:"until"`
	Reason string      `json:"reason,omitempty"`
}

// Grant is an approval in advance.
type Grant struct {
	ID        string      `json:"id"`
	CallID    string      `json:"call_id"` // that it was made from
	Tool      string      `json:"tool"`
	Domain    string      `json:"domain"`
	Principal string      `json:"principal"`
	Chain     []string    `json:"chain"`
	Where     []Condition `json:"where"`
	By        string      `json:"by"`
	Made      time.Time   `json:"made"`
	Until     time.Time   `json:"until"`
	Uses      int         `json:"uses"`
	Left      int         `json:"left"`    // uses that remain; 0 when it is over
	UsedBy    []string    `json:"used_by"` // ids of calls
	EndedBy   string      `json:"ended_by,omitempty"`
	Reason    string      `json:"reason,omitempty"`
}

// GrantPreview is what a grant would have covered.
type GrantPreview struct {
	Since   time.Time     `json:"since"`
	Alike   int           `json:"alike"`   // calls of the same tool by the same agents for the same person that were looked at
	Covered int           `json:"covered"` // of them, those that fulfil the conditions
	Calls   []CallSummary `json:"calls"`   // that it covers, the latest first
}

// makeGrant serves POST /v1/grants.
func (a *api) makeGrant(w http.ResponseWriter, r *http.Request, v *viewer) error {
	body, err := grantBody(r)
	if err != nil {
		return err
	}
	g, err := a.cfg.Broker.Grant(r.Context(), broker.GrantRequest{
		Identity: v.id, CallID: body.CallID, Digest: body.Digest, Where: conditions(body.Where),
		Uses: body.Uses, Until: body.Until, Reason: body.Reason,
	})
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, mediaJSON, grantView(g))
	return nil
}

func grantBody(r *http.Request) (GrantRequest, error) {
	var body GrantRequest
	if err := decode(r, &body); err != nil {
		return body, err
	}
	if !isCallID(body.CallID) {
		return body, notFound("no held call has this id")
	}
	return body, checkReason(body.Reason)
}

// listGrants serves GET /v1/grants.
func (a *api) listGrants(w http.ResponseWriter, r *http.Request, v *viewer) error {
	return list(w, r, a.cfg.Broker.Grants(v.id), grantView, func(g Grant) string { return g.ID }) // UUIDv7: by time
}

// endGrant serves DELETE /v1/grants/{id}?reason=.
func (a *api) endGrant(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "reason")
	if p.err != nil {
		return p.err
	}
	id := r.PathValue("id")
	if !isCallID(id) { // ids of events have the form of call ids
		return notFound("no grant has this id")
	}
	if err := a.cfg.Broker.EndGrant(r.Context(), v.id, id, p.text("reason")); err != nil {
		return err
	}
	for _, g := range a.cfg.Broker.Grants(v.id) {
		if g.ID == id {
			write(w, http.StatusOK, mediaJSON, grantView(g))
			return nil
		}
	}
	return notFound("no grant has this id")
}

// previewGrant serves POST /v1/grant-preview.
func (a *api) previewGrant(w http.ResponseWriter, r *http.Request, v *viewer) error {
	body, err := grantBody(r)
	if err != nil {
		return err
	}
	h, err := a.cfg.Broker.Held(r.Context(), v.id, body.CallID)
	if err != nil {
		return err
	}
	since := time.Now().Add(-previewFor)
	q := index.Query{Person: h.Intent.Identity.Principal, Tool: h.Intent.Tool, Since: since, Limit: previewOf, Domains: []string{h.Domain}}
	if chain := h.Intent.Identity.Chain; len(chain) > 0 {
		q.Agent = chain[0].ID
	}
	found, err := a.cfg.History.Search(r.Context(), q)
	if err != nil {
		return fmt.Errorf("preview grant: %w", err)
	}
	would := grants.Grant{Grant: audit.Grant{
		Tool: h.Intent.Tool, Issuer: h.Intent.Identity.Issuer, Principal: h.Intent.Identity.Principal, Where: conditions(body.Where),
	}}
	for _, actor := range h.Intent.Identity.Chain {
		would.Chain = append(would.Chain, actor.ID)
	}
	write(w, http.StatusOK, mediaJSON, a.covered(r.Context(), v, would, found.Folded, since))
	return nil
}

// covered tells which of some calls a grant would have covered, whatever their tool's
// definition was then.
func (a *api) covered(ctx context.Context, v *viewer, would grants.Grant, past []calls.Call, since time.Time) GrantPreview {
	p := GrantPreview{Since: utc(since), Calls: []CallSummary{}}
	where := would.Where
	for _, c := range past {
		would.Definition, would.Where = c.Intent.Definition, nil
		s := broker.SubjectOf(c)
		if !v.mayRead(s) || (len(where) > 0 && !v.mayMatch(s)) || !would.Covers(c.Intent, nil) {
			continue
		}
		p.Alike++
		args, _ := a.payload(ctx, c.Opening.At, audit.PayloadArguments, &c.Intent.Arguments)
		if would.Where = where; would.Covers(c.Intent, args.Body) {
			p.Covered++
			p.Calls = append(p.Calls, summarize(c))
		}
	}
	return p
}

func conditions(where []Condition) []audit.Condition {
	out := make([]audit.Condition, len(where))
	for i, c := range where {
		out[i] = audit.Condition{Field: c.Field, Equals: []byte(c.Equals), AtMost: c.AtMost, AtLeast: c.AtLeast}
	}
	return out
}

func grantView(g grants.Grant) Grant {
	v := Grant{
		ID: g.ID, CallID: g.Call, Tool: g.Tool, Domain: g.Domain, Principal: g.Principal, Chain: append([]string{}, g.Chain...),
		Where: []Condition{}, By: g.By.Principal, Made: utc(g.Made), Until: utc(g.Until), Uses: g.Uses, Left: g.Left(time.Now()),
		UsedBy: []string{}, Reason: g.Reason,
	}
	for _, c := range g.Where {
		v.Where = append(v.Where, Condition{Field: c.Field, Equals: jsontext.Value(c.Equals), AtMost: c.AtMost, AtLeast: c.AtLeast})
	}
	for _, u := range g.Used {
		v.UsedBy = append(v.UsedBy, u.CallID)
	}
	if g.Ended != nil {
		v.EndedBy = g.Ended.By.Principal
	}
	return v
}
