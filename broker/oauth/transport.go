package oauth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

const (
	maxDrain = 64 << 10 // bytes of a refusal that are read, so that its connection can be used again
	maxTries = 3        // of one request: as it is, with a new token, with one of more scopes
)

// errInsufficient is that the upstream wants what was granted already.
var errInsufficient = errors.New("the upstream refuses for want of scopes, and has what it asks for")

// transport shows the upstream what it asks for.
type transport struct {
	base   http.RoundTripper
	client *Client
}

// Transport shows the upstream with each request the token that was gotten for it, and gets
// another when it asks for one. A request that it cannot satisfy fails with a
// [credentials.Error]; nothing was done then. Requests to other hosts fail.
func (c *Client) Transport(base http.RoundTripper) http.RoundTripper { return &transport{base, c} }

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !web.Within(t.client.url, r.URL) {
		return nil, unsent(r.Body, web.ErrRedirected)
	}
	_, used := credentials.From(r.Context())
	body := r.Body
	for try := 1; ; try++ {
		now, err := t.client.token(r.Context())
		if err != nil {
			return nil, unsent(body, err)
		}
		response, err := t.send(r, body, now)
		if err != nil {
			return nil, err
		}
		if now.value != "" {
			used(now.ref)
		}
		again, err := t.client.answer(r.Context(), response, now)
		switch {
		case err == nil && !again:
			return response, nil
		case err == nil && try == maxTries:
			err = t.client.missing(errRefused)
		case err == nil:
			if body, err = anew(r); err == nil {
				drain(response)
				continue
			}
		}
		drain(response)
		return nil, err
	}
}

func (t *transport) send(r *http.Request, body io.ReadCloser, now shown) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Body = body
	if now.value != "" {
		r.Header.Set("Authorization", "Bearer "+string(now.value))
	}
	return t.base.RoundTrip(r)
}

// answer does what the upstream asks for instead of answering. It reports whether the request
// is worth to be sent again.
func (c *Client) answer(ctx context.Context, response *http.Response, now shown) (again bool, err error) {
	more := response.StatusCode == http.StatusForbidden
	if !more && response.StatusCode != http.StatusUnauthorized {
		return false, nil
	}
	asks := challengeOf(response)
	switch {
	case more && asks.code != insufficientScope:
		return false, nil
	case c.cfg.Credentials && more:
		return c.moreOwn(ctx, asks, now.value)
	case c.cfg.Credentials:
		return c.answerOwn(ctx, asks, now.value)
	case now.value == "":
		return false, c.asked(ctx, asks)
	case more:
		return c.wants(ctx, asks, now.value)
	default:
		return c.another(ctx, asks, now.value)
	}
}

// asked notes what the upstream asks for, for whoever logs in.
func (c *Client) asked(ctx context.Context, asks challenge) error {
	err := c.store.change(ctx, func(k *kept) error {
		if k.Consent == nil {
			k.Asked = &asked{asks.metadata, asks.scopes}
		}
		return nil
	})
	if err != nil {
		return c.missing(err)
	}
	return c.unconsented(reasonNone, false)
}

// wants notes that the upstream asks for more than was consented to. It reports whether
// somebody has consented meanwhile.
func (c *Client) wants(ctx context.Context, asks challenge, refused login.Secret) (again bool, err error) {
	granted, before := false, []string(nil)
	wanted := &asked{Metadata: asks.metadata}
	err = c.store.change(ctx, func(k *kept) error {
		switch {
		case k.Consent == nil || k.Consent.Token.Access != refused:
			again = true
		case within(asks.scopes, k.Consent.Granted):
			granted = true
		default:
			if k.Asked != nil {
				before = k.Asked.Scopes
			}
			wanted.Scopes = union(k.Consent.Requested, asks.scopes)
			k.Asked = wanted
		}
		return nil
	})
	switch {
	case err != nil:
		return false, c.missing(err)
	case again:
		return true, nil
	case granted:
		return false, c.missing(errInsufficient)
	}
	if !slices.Equal(before, wanted.Scopes) {
		c.log.LogAttrs(ctx, slog.LevelWarn, "an upstream asks for more than was consented to", slog.String("upstream", c.cfg.Upstream))
	}
	c.unfitted(refused)
	return false, c.unconsented(reasonMore, true)
}

// another gets a token in the place of one that was refused.
func (c *Client) another(ctx context.Context, asks challenge, refused login.Secret) (again bool, err error) {
	k, err := c.store.load()
	switch {
	case err != nil:
		return false, c.missing(err)
	case k.Consent == nil || k.Consent.Token.Access != refused:
		return true, nil // somebody was quicker
	}
	moved, err := c.moved(ctx, asks, k.Consent.Issuer)
	switch {
	case err != nil:
		return false, c.missing(err)
	case moved:
		return false, c.leave(ctx, asks, refused)
	case k.Consent.Token.Refresh == "":
		c.unfitted(refused)
		return false, c.unconsented(reasonRefused, false)
	}
	_, err = c.renewed(ctx, refused)
	return err == nil, err
}

// moved reports whether the upstream trusts another authorization server than that of the consent.
func (c *Client) moved(ctx context.Context, asks challenge, issuer string) (bool, error) {
	m, err := c.resource(ctx, asks.metadata)
	if err != nil {
		return false, err
	}
	now, err := c.choose(m.AuthorizationServers, issuer)
	return now != issuer, err
}

// leave ends a consent that was given at an authorization server which the upstream does not trust any more.
func (c *Client) leave(ctx context.Context, asks challenge, refused login.Secret) error {
	return c.ended(c.store.change(ctx, func(k *kept) error {
		if k.Consent == nil || k.Consent.Token.Access != refused {
			return nil
		}
		k.Asked = &asked{asks.metadata, asks.scopes}
		return c.end(ctx, k, reasonMoved, nil)
	}))
}

// unsent closes the body of a request that is not sent, as a RoundTripper must.
func unsent(body io.Closer, err error) error {
	if body != nil {
		err = errors.Join(err, body.Close())
	}
	return err
}

// anew is the body of a request once more.
func anew(r *http.Request) (io.ReadCloser, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return r.Body, nil
	case r.GetBody == nil:
		return nil, errors.New("the request cannot be sent again")
	default:
		return r.GetBody()
	}
}

func drain(response *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxDrain)) // if it fails the connection is closed
	_ = response.Body.Close()                                           // it was read
}
