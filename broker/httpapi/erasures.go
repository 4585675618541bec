package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/broker"
)

// Scope says which calls something is about: those that fit all that is set.
type Scope struct {
	CallID    string `json:"call_id,omitempty"`
	Principal string `json:"principal,omitempty"`
	Agent     string `json:"agent,omitempty"` // anywhere in the chain
	Session   string `json:"session,omitempty"`
	Domain    string `json:"domain,omitempty"`
	Since     string `json:"since,omitempty"` // RFC 3339: opened at or after
	Until     string `json:"until,omitempty"` // opened before
}

// NewErasure is the body of POST /v1/erasures and /v1/erasure-preview.
type NewErasure struct {
	Scope  Scope  `json:"scope"`
	Reason string `json:"reason,omitempty"` // required to erase
	Cursor string `json:"cursor,omitempty"` // goes on after the calls of an answer before
}

// Erasure is what was erased of some of the calls in a scope, or would be.
type Erasure struct {
	Calls     int        `json:"calls"`    // whose arguments and results go
	Payloads  int        `json:"payloads"` // arguments and results that they commit to, those that are gone already too
	Bytes     int64      `json:"bytes"`
	Cancelled int        `json:"cancelled"` // of the calls, those that waited for people, and do not any more
	Open      int        `json:"open"`      // calls that run, and keep theirs
	Held      []HeldBack `json:"held"`      // calls that a legal hold keeps as they are
	Next      string     `json:"next,omitempty"`
}

// HeldBack is a call under a legal hold.
type HeldBack struct {
	CallID string    `json:"call_id"`
	Hold   LegalHold `json:"hold"`
}

// previewErasure serves POST /v1/erasure-preview.
func (a *api) previewErasure(w http.ResponseWriter, r *http.Request, v *viewer) error {
	request, next, err := a.erasure(r, v)
	if err != nil {
		return err
	}
	extent, err := a.cfg.Broker.PreviewErasure(request)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, erasureView(extent, next))
	return nil
}

// erase serves POST /v1/erasures.
func (a *api) erase(w http.ResponseWriter, r *http.Request, v *viewer) error {
	request, next, err := a.erasure(r, v)
	if err != nil {
		return err
	}
	extent, err := a.cfg.Broker.Erase(r.Context(), request)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, erasureView(extent, next))
	return nil
}

// erasure reads a request, and finds the next of the calls that it is about.
func (a *api) erasure(r *http.Request, v *viewer) (broker.ErasureRequest, string, error) {
	var body NewErasure
	if err := decode(r, &body); err != nil {
		return broker.ErasureRequest{}, "", err
	}
	if err := checkReason(body.Reason); err != nil {
		return broker.ErasureRequest{}, "", err
	}
	scope, err := body.Scope.recorded()
	if err != nil {
		return broker.ErasureRequest{}, "", err
	}
	request := broker.ErasureRequest{By: v.id, Scope: scope, Reason: body.Reason}
	if !v.id.Person() {
		return request, "", nil // the broker refuses them, on record
	}
	var next string
	request.Calls, next, err = a.inScope(r.Context(), scope, body.Cursor)
	return request, next, err
}

// recorded reads a scope, which must name something.
func (s Scope) recorded() (audit.Scope, error) {
	scope := audit.Scope{Call: s.CallID, Principal: s.Principal, Agent: s.Agent, Session: s.Session, Domain: s.Domain}
	for _, at := range []struct {
		text string
		to   **time.Time
	}{{s.Since, &scope.Since}, {s.Until, &scope.Until}} {
		if at.text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, at.text)
		if err != nil {
			return scope, invalid("since and until are times like 2026-11-30T12:00:00Z")
		}
		t = t.UTC()
		*at.to = &t
	}
	switch {
	case scope.Empty():
		return scope, invalid("a scope names a call_id, principal, agent, session, domain or time")
	case s.CallID != "" && !isCallID(s.CallID):
		return scope, notFound("there is no call of this id")
	}
	return scope, nil
}

func scopeView(s audit.Scope) Scope {
	v := Scope{CallID: s.Call, Principal: s.Principal, Agent: s.Agent, Session: s.Session, Domain: s.Domain}
	for _, at := range []struct {
		from *time.Time
		to   *string
	}{{s.Since, &v.Since}, {s.Until, &v.Until}} {
		if at.from != nil {
			*at.to = at.from.Format(time.RFC3339Nano)
		}
	}
	return v
}

// inScope finds calls by the index, and folds each from the log: what that says counts.
func (a *api) inScope(ctx context.Context, s audit.Scope, cursor string) (found []broker.Erasable, next string, err error) {
	ids := []string{s.Call}
	if s.Call == "" {
		q := index.Query{
			Domains: slices.Compact(slices.Sorted(slices.Values(append(a.cfg.Domains(), audit.OwnDomain)))),
			Person:  s.Principal, Agent: s.Agent, Session: s.Session, Limit: broker.MaxErasure, After: cursor,
		}
		if s.Domain != "" {
			q.Domains = []string{s.Domain}
		}
		if s.Since != nil {
			q.Since = *s.Since
		}
		if s.Until != nil {
			q.Until = *s.Until
		}
		page, err := a.cfg.History.Search(ctx, q)
		if err != nil {
			return nil, "", fmt.Errorf("find calls: %w", err)
		}
		ids, next = ids[:0], page.Next
		for _, c := range page.Calls {
			ids = append(ids, c.ID)
		}
	}
	for _, id := range ids {
		c, err := a.erasable(ctx, id)
		switch {
		case errors.Is(err, audit.ErrNotFound) && s.Call != "":
			return nil, "", notFound("there is no call of this id")
		case err != nil:
			return nil, "", err
		case s.Covers(c.Call.ID, c.Call.Domain, c.Call.Intent.Identity, c.Call.Opening.Time):
			found = append(found, c)
		}
	}
	return found, next, nil
}

func (a *api) erasable(ctx context.Context, id string) (broker.Erasable, error) {
	history, err := a.cfg.History.Call(ctx, id)
	if err != nil {
		return broker.Erasable{}, fmt.Errorf("find call: %w", err)
	}
	places := marks(history.Folded)
	for _, e := range history.Events {
		places = append(places, e.Position)
	}
	records, err := a.records(ctx, places)
	if err != nil {
		return broker.Erasable{}, err
	}
	c := broker.Erasable{Call: a.fold(ctx, records)}
	for _, r := range records {
		c.Records = append(c.Records, r.Position)
	}
	return c, nil
}

func erasureView(x broker.ErasureExtent, next string) Erasure {
	v := Erasure{Calls: x.Calls, Payloads: x.Payloads, Bytes: x.Bytes, Cancelled: x.Cancelled, Open: x.Open, Held: []HeldBack{}, Next: next}
	for _, h := range x.Held {
		v.Held = append(v.Held, HeldBack{CallID: h.CallID, Hold: legalHoldView(h.Hold)})
	}
	return v
}
