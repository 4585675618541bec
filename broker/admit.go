package broker

import (
	"context"
	"time"

	"github.com/deedbroker/deed/agents"
)

// expiryTolerance is how long after its expiry a token is still honoured. What
// verifies histories tolerates more.
const expiryTolerance = time.Minute

// admit lets in who is known and does not ask too often. Nothing is recorded of
// those who are not: an edge that lets somebody through without an identity, or
// with one that has expired, must not fill the log.
func (b *Broker) admit(ctx context.Context, op string, id *agents.Identity) error {
	if err := known(op, id); err != nil {
		return err
	}
	if err := b.limits.allow(id); err != nil {
		b.metrics.limited.Add(ctx, 1)
		return err
	}
	return nil
}

// known says why an identity cannot be acted for.
func known(op string, id *agents.Identity) error {
	switch {
	case id == nil || id.Issuer == "" || id.Principal == "" && len(id.Chain) == 0:
		return &Error{Kind: Denied, Op: op, Public: "denied: there is no verified identity; log in first"}
	case time.Now().After(id.Expires.Add(expiryTolerance)):
		return &Error{Kind: Denied, Op: op, Public: "denied: the token has expired; get a new one"}
	default:
		return nil
	}
}
