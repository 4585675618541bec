package oauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/tools/web"
)

const offlineAccess = "offline_access"

// ErrNoConsent is that an upstream needs nobody's consent.
var ErrNoConsent = errors.New("the broker uses this upstream with credentials of its own, to which nobody has to consent")

// LoginOptions say how a person consents.
type LoginOptions struct {
	// Port is where the browser comes back to on loopback. 0: that of the last time, or any.
	Port int
	// Show hands the person the address to open. An error ends the login.
	Show func(ctx context.Context, address string) error
}

// Consented is what a person has agreed to.
type Consented struct {
	Issuer   string
	ClientID string
	Scopes   []string
	Expires  time.Time // of the token, zero if the authorization server does not say
	Renews   bool      // without a person
}

// Login has a person consent to the broker's use of the upstream, and keeps what comes of it.
func (c *Client) Login(ctx context.Context, o LoginOptions) (*Consented, error) {
	if c.cfg.Credentials {
		return nil, ErrNoConsent
	}
	now, err := c.signIn(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("log in to upstream %s: %w", c.cfg.Upstream, told(err))
	}
	return &Consented{now.Issuer, now.ClientID, now.Granted, now.Token.Expires, now.Token.Refresh != ""}, nil
}

// Logout forgets consent and tokens. The registration stays.
func (c *Client) Logout(ctx context.Context) error {
	return c.store.change(ctx, func(k *kept) error {
		k.Consent = nil
		return nil
	})
}

func (c *Client) signIn(ctx context.Context, o LoginOptions) (*consent, error) {
	k, err := c.store.load()
	if err != nil {
		return nil, err
	}
	asks, err := c.asks(ctx, k)
	if err != nil {
		return nil, err
	}
	t, err := c.discover(ctx, asks.metadata, "")
	if err != nil {
		return nil, err
	}
	if err := signsIn(&t.server); err != nil {
		return nil, err
	}
	listener, err := listen(ctx, o.Port, k.Registration, t.issuer)
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }() // the sign-in has closed it, unless it never came to that
	client, who, own, err := c.client(ctx, t, k.Registration, login.Redirect(listener))
	if err != nil {
		return nil, err
	}
	scopes := c.wanted(asks, t, k)
	request := login.CodeRequest{Target: login.Target{Resource: t.resource, Scopes: scopes}, Show: o.Show, Listener: listener}
	token, err := client.CodeFlow(ctx, request)
	if err != nil {
		return nil, err
	}
	now := &consent{
		Issuer: t.issuer, ClientID: who.id, Method: who.method, Resource: t.resource,
		Requested: scopes, Granted: scopes, Since: time.Now(), Token: *token,
	}
	now.Token.ID = ""
	if len(token.Scopes) > 0 {
		now.Granted = bounded(token.Scopes)
	}
	return now, c.store.change(ctx, func(k *kept) error {
		k.Upstream, k.Asked, k.Consent = c.cfg.URL, nil, now
		if own != nil {
			k.Registration = own
		}
		return nil
	})
}

// client is who the broker is at the authorization server. A registration is kept at once: the
// next login finds it, even if this one ends here.
func (c *Client) client(ctx context.Context, t *target, old *registration, redirect string) (*login.Client, identity, *registration, error) {
	who, own, err := c.identify(ctx, t, old, redirect)
	if err != nil {
		return nil, identity{}, nil, err
	}
	if own != nil && own != old {
		err := c.store.change(ctx, func(k *kept) error {
			k.Registration = own
			return nil
		})
		if err != nil {
			return nil, identity{}, nil, err
		}
	}
	if err := c.bind(ctx, t.issuer); err != nil {
		return nil, identity{}, nil, err
	}
	client, err := c.clientOf(ctx, &t.server, who, own)
	return client, who, own, err
}

// listen waits for the browser where it came back the last time, if it can.
func listen(ctx context.Context, port int, old *registration, issuer string) (net.Listener, error) {
	if port != 0 || old == nil || old.Issuer != issuer {
		return login.Listen(ctx, port)
	}
	if u, err := url.Parse(old.Redirect); err == nil {
		if n, err := strconv.Atoi(u.Port()); err == nil {
			if l, err := login.Listen(ctx, n); err == nil {
				return l, nil
			}
		}
	}
	return login.Listen(ctx, 0)
}

// wanted are the scopes to ask for: those that are needed now, and those that were asked for
// before; and that the consent lasts, if the server knows how and the operator has not written
// what to ask for.
func (c *Client) wanted(asks challenge, t *target, k kept) []string {
	scopes := c.scopes(asks, t)
	if k.Consent != nil && k.Consent.Issuer == t.issuer {
		scopes = union(k.Consent.Requested, scopes)
		if k.Asked != nil {
			scopes = union(scopes, k.Asked.Scopes)
		}
	}
	if len(c.cfg.Scopes) == 0 && slices.Contains(t.server.ScopesSupported, offlineAccess) {
		scopes = union(scopes, []string{offlineAccess})
	}
	return scopes
}

// asks is what the upstream asked the broker for; if it was not asked yet, it is now.
func (c *Client) asks(ctx context.Context, k kept) (_ challenge, err error) {
	if k.Asked != nil {
		return challenge{metadata: k.Asked.Metadata, scopes: k.Asked.Scopes}, nil
	}
	const question = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, strings.NewReader(question))
	if err != nil {
		return challenge{}, errors.New("its url is none")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	response, err := c.http.Do(r)
	if err != nil {
		return challenge{}, fmt.Errorf("ask it what it wants: %w", web.Plain(err))
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	return challengeOf(response), nil
}
