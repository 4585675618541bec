package api

import (
	"context"
	"net/http"

	"github.com/deedbroker/deed/broker/httpapi"
)

// Keys are those that checkpoints are signed with.
func (c *Client) Keys(ctx context.Context) (httpapi.Keys, error) {
	var k httpapi.Keys
	return k, c.do(ctx, http.MethodGet, "/v1/keys", nil, nil, &k)
}

// RotateKey gives the key that signs checkpoints its successor.
func (c *Client) RotateKey(ctx context.Context, r httpapi.NewKeyRotation) (httpapi.Keys, error) {
	var k httpapi.Keys
	return k, c.do(ctx, http.MethodPost, "/v1/keys/rotations", nil, r, &k)
}
