package oauth

import (
	"context"
	"time"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/tools/credentials"
)

// owned is what the broker has got for itself, by client credentials.
type owned struct {
	target *target
	scopes []string
	token  login.Token
	since  time.Time
}

func (c *Client) mine() *owned {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own
}

// ownToken is the broker's own, and none until it is known what the upstream asks for.
func (c *Client) ownToken(ctx context.Context) (shown, error) {
	o := c.mine()
	switch {
	case o == nil:
		return shown{}, nil
	case o.fresh(time.Now()):
		return c.showOwn(o), nil
	}
	if err := c.getOwn(ctx, o.target, o.scopes, o.token.Access); err != nil {
		return shown{}, err
	}
	return c.showOwn(c.mine()), nil
}

func (o *owned) fresh(now time.Time) bool {
	return o.token.Expires.IsZero() || now.Before(early(o.token.Expires, o.since))
}

func (c *Client) showOwn(o *owned) shown {
	return shown{o.token.Access, credentials.Reference{Source: c.source(c.cfg.ClientID, o.target.issuer), Expires: o.token.Expires}}
}

// getOwn gets a token in the place of an old one, unless somebody has done so.
func (c *Client) getOwn(ctx context.Context, t *target, scopes []string, old login.Secret) error {
	return c.alone(ctx, func(ctx context.Context) error {
		if o := c.mine(); o != nil && o.token.Access != old && within(scopes, o.scopes) {
			return nil
		}
		if err := c.failedJustNow(); err != nil {
			return c.missing(err)
		}
		err := c.askOwn(ctx, t, scopes)
		c.failed(err)
		if err != nil {
			return c.missing(err)
		}
		return nil
	})
}

func (c *Client) askOwn(ctx context.Context, t *target, scopes []string) error {
	if err := c.bind(ctx, t.issuer); err != nil {
		return err
	}
	client, err := c.clientOf(ctx, &t.server, identity{c.cfg.ClientID, ""}, nil)
	if err != nil {
		return err
	}
	asked := time.Now()
	token, err := client.Credentials(ctx, login.Target{Resource: t.resource, Scopes: scopes})
	if err != nil {
		return plainGrant(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = &owned{t, scopes, *token, asked}
	return nil
}

// answerOwn gets what the upstream asks for. It reports whether there is something new to show.
func (c *Client) answerOwn(ctx context.Context, asks challenge, refused login.Secret) (bool, error) {
	o := c.mine()
	if o != nil && o.token.Access != refused {
		return true, nil // somebody was quicker
	}
	issuer := ""
	if o != nil {
		if time.Since(o.since) < young {
			return false, c.missing(errRefused)
		}
		issuer = o.target.issuer
	}
	t, err := c.discover(ctx, asks.metadata, issuer)
	if err != nil {
		return false, c.missing(err)
	}
	scopes := c.scopes(asks, t)
	if o != nil && o.target.issuer == t.issuer {
		scopes = union(o.scopes, scopes)
	}
	if err := c.getOwn(ctx, t, scopes, refused); err != nil {
		return false, err
	}
	return true, nil
}

// moreOwn gets a token of more scopes.
func (c *Client) moreOwn(ctx context.Context, asks challenge, refused login.Secret) (bool, error) {
	o := c.mine()
	switch {
	case o == nil:
		return c.answerOwn(ctx, asks, refused)
	case o.token.Access == refused && within(asks.scopes, o.scopes):
		return false, c.missing(errInsufficient)
	}
	if err := c.getOwn(ctx, o.target, union(o.scopes, asks.scopes), refused); err != nil {
		return false, err
	}
	return true, nil
}

// scopes are those to ask for: what the operator has written, else what the upstream wants for
// what it was asked, else all that it knows.
func (c *Client) scopes(asks challenge, t *target) []string {
	switch {
	case len(c.cfg.Scopes) > 0:
		return c.cfg.Scopes
	case len(asks.scopes) > 0:
		return asks.scopes
	default:
		return t.scopes
	}
}
