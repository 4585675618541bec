package oauth

import (
	"context"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/agents/login"
)

const (
	lookEvery = time.Second
	// tryEvery is how often it is tried whether nobody has to consent after all.
	tryEvery = time.Minute
)

// unfitted notes a token that did not help, so that Await waits for another.
func (c *Client) unfitted(token login.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unfit = token
}

// Await waits, after a request failed with a [credentials.ConsentError], until somebody has
// consented, or until it is time to try again. Its error is that of ctx.
func (c *Client) Await(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	try := time.NewTimer(tryEvery)
	defer try.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-try.C:
			return nil
		case <-look.C:
			if c.consented() {
				c.log.LogAttrs(ctx, slog.LevelInfo, "somebody has consented to the use of an upstream", slog.String("upstream", c.cfg.Upstream))
				return nil
			}
		}
	}
}

// consented reports whether there is a consent that was not tried in vain.
func (c *Client) consented() bool {
	k, err := c.store.load()
	if err != nil || k.Consent == nil || k.Consent.Ended != "" {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return k.Consent.Token.Access != c.unfit && (k.Consent.Token.Refresh != "" || k.Consent.Token.Valid(time.Now()))
}
