package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/broker"
)

// NewRevocation is the body of POST /v1/revocations.
type NewRevocation struct {
	Kind   string   `json:"kind"`   // agent, principal, token, session, chain or key
	Value  string   `json:"value"`  // agent or principal as events have them; jti or hex SHA-256 of a token; sid; kid
	Agents []string `json:"agents"` // of a chain: those who act for the principal, the current actor first
	Issuer string   `json:"issuer"` // any, unless given; required of a key
	Reason string   `json:"reason"`
	Until  string   `json:"until"` // RFC 3339; until it is lifted, unless given
}

// Revocation is one in force.
type Revocation struct {
	ID           string    `json:"id"`
	Kind         string    `json:"kind"`
	Value        string    `json:"value"`
	Agents       []string  `json:"agents"`
	Issuer       string    `json:"issuer"`
	Reason       string    `json:"reason"`
	By           string    `json:"by"`  // the person; empty when an issuer asked for it
	Via          string    `json:"via"` // person, or the channel by which an issuer asked
	Since        time.Time `json:"since"`
	IssuedBefore time.Time `json:"issued_before,omitzero"` // only tokens issued before
	Until        time.Time `json:"until,omitzero"`         // until it is lifted, if absent
}

func revocationOf(r broker.Revocation) Revocation {
	return Revocation{
		ID: r.ID, Kind: string(r.Kind), Value: r.Value, Agents: append([]string{}, r.Agents...), Issuer: r.Issuer,
		Reason: r.Reason, By: r.By, Via: r.Via, Since: utc(r.Time), IssuedBefore: utc(r.IssuedBefore), Until: utc(r.Until),
	}
}

// listRevocations serves GET /v1/revocations.
func (a *api) listRevocations(w http.ResponseWriter, r *http.Request, v *viewer) error {
	return list(w, r, a.cfg.Broker.Revocations(v.id), revocationOf, func(r Revocation) string { return r.ID })
}

// revoke serves POST /v1/revocations.
func (a *api) revoke(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body NewRevocation
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := checkReason(body.Reason); err != nil {
		return err
	}
	e := denylist.Entry{Kind: denylist.Kind(body.Kind), Value: body.Value, Agents: body.Agents, Issuer: body.Issuer, Reason: body.Reason}
	if e.Kind == denylist.Token && strings.Count(e.Value, ".") == 2 {
		return invalid("send the token's SHA-256 or its jti, never the token itself")
	}
	if body.Until != "" {
		until, err := time.Parse(time.RFC3339Nano, body.Until)
		if err != nil {
			return invalid("until is a time like 2026-11-30T12:00:00Z")
		}
		e.Until = until
	}
	made, err := a.cfg.Broker.Revoke(r.Context(), v.id, e)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, revocationOf(made))
	return nil
}

// liftRevocation serves DELETE /v1/revocations/{id}?reason=.
func (a *api) liftRevocation(w http.ResponseWriter, r *http.Request, v *viewer) error {
	return v.lift(w, r, "no revocation in force has this id", a.cfg.Broker.Lift)
}
