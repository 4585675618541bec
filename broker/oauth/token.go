package oauth

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/tools/credentials"
)

const (
	// maxMargin is how long before its end a token is renewed, at most; shorter ones are after
	// nine tenths of their time.
	maxMargin = 30 * time.Second
	// young is how old a token has to be for another to be gotten in its place when it is refused:
	// an upstream that takes none cannot be turned against its authorization server.
	young = time.Second
)

// The reasons for which a person has to act.
const (
	reasonNone    = "the upstream asks for OAuth, and nobody has consented to its use"
	reasonEnded   = "the authorization server has ended the consent to use the upstream"
	reasonExpired = "the consent to use the upstream has expired, and cannot be renewed without a person"
	reasonRefused = "the upstream does not take the token any more, which cannot be renewed without a person"
	reasonMoved   = "the upstream trusts another authorization server now"
	reasonMore    = "the upstream asks for more for this than was consented to"
)

// errRefused is that a new token was refused as the old one was.
var errRefused = errors.New("the upstream does not take the token that its authorization server gave for it")

// shown is the token of a request.
type shown struct {
	value login.Secret // empty: nothing is shown
	ref   credentials.Reference
}

// token is what the upstream is shown: nothing as long as it is not known what it asks for.
func (c *Client) token(ctx context.Context) (shown, error) {
	if c.cfg.Credentials {
		return c.ownToken(ctx)
	}
	k, err := c.store.load()
	if err != nil {
		return shown{}, c.missing(err)
	}
	switch {
	case fresh(k.Consent, time.Now()):
		return c.show(k.Consent), nil
	case k.Consent == nil && k.Asked == nil:
		return shown{}, nil
	case k.Consent == nil:
		return shown{}, c.unconsented(reasonNone, false)
	case k.Consent.Ended != "":
		return shown{}, c.unconsented(k.Consent.Ended, false)
	default:
		return c.renewed(ctx, "")
	}
}

func (c *Client) show(k *consent) shown {
	return shown{k.Token.Access, credentials.Reference{Source: c.source(k.ClientID, k.Issuer), Expires: k.Token.Expires}}
}

// fresh reports whether there is a token that need not be renewed yet.
func fresh(k *consent, now time.Time) bool {
	if k == nil || k.Ended != "" || k.Token.Access == "" {
		return false
	}
	if k.Token.Refresh == "" {
		return k.Token.Valid(now) // to its very end
	}
	return k.Token.Expires.IsZero() || now.Before(early(k.Token.Expires, k.Since))
}

// early is when a token is renewed.
func early(expires, since time.Time) time.Time {
	return expires.Add(-min(maxMargin, expires.Sub(since)/10))
}

// renewed trades the refresh token, unless somebody has done so. refused is an access token
// that is not to be used any more. The new refresh token is durable before anybody uses what
// came with it.
func (c *Client) renewed(ctx context.Context, refused login.Secret) (now shown, err error) {
	err = c.alone(ctx, func(ctx context.Context) error {
		return c.store.change(ctx, func(k *kept) error {
			old := k.Consent
			switch {
			case old == nil:
				return c.unconsented(reasonNone, false)
			case old.Ended != "":
				return c.unconsented(old.Ended, false)
			case fresh(old, time.Now()) && old.Token.Access != refused:
				now = c.show(old)
				return nil
			case old.Token.Refresh == "":
				return c.unconsented(reasonExpired, false)
			case refused != "" && time.Since(old.Since) < young:
				return c.missing(errRefused)
			}
			renewed, err := c.renew(ctx, k, old)
			switch {
			case err == nil:
				k.Consent, now = renewed, c.show(renewed)
				return nil
			case c.over(err):
				return c.end(ctx, k, reasonEnded, err)
			case refused == "" && old.Token.Valid(time.Now()): // it is tried again
				now = c.show(old)
				return nil
			default:
				return c.missing(err)
			}
		})
	})
	return now, c.ended(err)
}

// endedError makes a change of what is kept durable, though it fails.
type endedError struct{ reason string }

// Error is the reason.
func (e *endedError) Error() string { return e.reason }

// end notes that a person has to consent again.
func (c *Client) end(ctx context.Context, k *kept, reason string, cause error) error {
	ended := *k.Consent
	ended.Ended, ended.Token = reason, login.Token{}
	k.Consent = &ended
	if c.forgotten(cause) { // it has forgotten the client that was registered
		k.Registration = nil
	}
	c.log.LogAttrs(ctx, slog.LevelWarn, "a person has to consent to the use of an upstream",
		slog.String("upstream", c.cfg.Upstream), slog.String("reason", reason), slog.Any("error", cause))
	return &endedError{reason}
}

// ended turns the error of end into the one for whoever asked.
func (c *Client) ended(err error) error {
	if e, ok := errors.AsType[*endedError](err); ok {
		return c.unconsented(e.reason, false)
	}
	return err
}

// renew asks for another token.
func (c *Client) renew(ctx context.Context, k *kept, old *consent) (_ *consent, err error) {
	if err := c.failedJustNow(); err != nil {
		return nil, err
	}
	defer func() { c.failed(err) }()
	server, err := c.cachedServer(ctx, old.Issuer)
	if err != nil {
		return nil, err
	}
	client, err := c.clientOf(ctx, server, identity{old.ClientID, old.Method}, k.Registration)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	token, err := client.Renew(ctx, old.Token.Refresh, login.Target{Resource: old.Resource})
	if err != nil {
		return nil, plainGrant(err)
	}
	renewed := *old
	renewed.Token, renewed.Since = *token, asked
	renewed.Token.ID = ""
	if len(token.Scopes) > 0 {
		renewed.Granted = bounded(token.Scopes)
	}
	return &renewed, nil
}

// failed notes that no token could be gotten; nil is that one was.
func (c *Client) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = failure{err, time.Now()}
}

// failedJustNow is why no token could be gotten, for a moment: not everybody has to wait in turn
// for an authorization server that is down.
func (c *Client) failedJustNow() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.failure.at) < time.Second {
		return c.failure.err
	}
	return nil
}
