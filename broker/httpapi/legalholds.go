package httpapi

import (
	"net/http"
	"time"

	"github.com/deedbroker/deed/audit/legalhold"
)

// NewLegalHold is the body of POST /v1/legal-holds.
type NewLegalHold struct {
	Scope  Scope  `json:"scope"`
	Reason string `json:"reason"`
}

// LegalHold keeps what is in its scope from retention and erasure.
type LegalHold struct {
	ID     string    `json:"id"`
	Scope  Scope     `json:"scope"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}

func legalHoldView(h legalhold.Hold) LegalHold {
	return LegalHold{ID: h.ID, Scope: scopeView(h.Scope), Reason: h.Reason, By: h.By.Principal, Since: utc(h.Placed)}
}

// listLegalHolds serves GET /v1/legal-holds.
func (a *api) listLegalHolds(w http.ResponseWriter, r *http.Request, v *viewer) error {
	return list(w, r, a.cfg.Broker.LegalHolds(v.id), legalHoldView, func(h LegalHold) string { return h.ID })
}

// placeLegalHold serves POST /v1/legal-holds.
func (a *api) placeLegalHold(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body NewLegalHold
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := checkReason(body.Reason); err != nil {
		return err
	}
	scope, err := body.Scope.recorded()
	if err != nil {
		return err
	}
	h, err := a.cfg.Broker.PlaceLegalHold(r.Context(), v.id, scope, body.Reason)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, legalHoldView(h))
	return nil
}

// liftLegalHold serves DELETE /v1/legal-holds/{id}?reason=.
func (a *api) liftLegalHold(w http.ResponseWriter, r *http.Request, v *viewer) error {
	return v.lift(w, r, "no legal hold in force has this id", a.cfg.Broker.LiftLegalHold)
}
