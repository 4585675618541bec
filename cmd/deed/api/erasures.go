package api

import (
	"context"
	"net/http"

	"github.com/deedbroker/deed/broker/httpapi"
)

// PreviewErasure tells what erasing the next of the calls in a scope would do.
func (c *Client) PreviewErasure(ctx context.Context, e httpapi.NewErasure) (httpapi.Erasure, error) {
	var would httpapi.Erasure
	return would, c.do(ctx, http.MethodPost, "/v1/erasure-preview", nil, e, &would)
}

// Erase erases the arguments and results of the next of the calls in a scope.
func (c *Client) Erase(ctx context.Context, e httpapi.NewErasure) (httpapi.Erasure, error) {
	var done httpapi.Erasure
	return done, c.do(ctx, http.MethodPost, "/v1/erasures", nil, e, &done)
}

// PlaceLegalHold keeps calls from retention and erasure.
func (c *Client) PlaceLegalHold(ctx context.Context, h httpapi.NewLegalHold) (httpapi.LegalHold, error) {
	var placed httpapi.LegalHold
	return placed, c.do(ctx, http.MethodPost, "/v1/legal-holds", nil, h, &placed)
}

// LegalHolds are those in force that one may know of.
func (c *Client) LegalHolds(ctx context.Context) ([]httpapi.LegalHold, error) {
	return all[httpapi.LegalHold](ctx, c, "/v1/legal-holds", nil, 0)
}

// LiftLegalHold ends a legal hold.
func (c *Client) LiftLegalHold(ctx context.Context, id, reason string) (httpapi.Lifted, error) {
	return end[httpapi.Lifted](ctx, c, "/v1/legal-holds/", id, reason)
}
