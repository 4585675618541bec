package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/tools/credentials"
)

const (
	clientName = "Deed"
	// knownFor is how long the metadata of an authorization server are not read again.
	knownFor = time.Hour
	maxID    = 1024 // bytes of a client's identifier
)

// errUnknownClient is that a consent was given to a client that the broker is no more.
var errUnknownClient = errors.New("the consent was given to another client than is configured")

// errOtherIssuer is that the client's secret is for another authorization server.
var errOtherIssuer = errors.New("the upstream names another authorization server than the one that the client's secret was shown to; write auth.oauth.issuer, if that is right")

// identity is who the broker is at an authorization server.
type identity struct {
	id     string
	method login.Method
}

// identify finds out who the broker is at the authorization server: the client that was
// registered beforehand, the one that its document describes, the one that it has registered
// for this redirect, or one that it registers now.
func (c *Client) identify(ctx context.Context, t *target, old *registration, redirect string) (identity, *registration, error) {
	server := &t.server
	switch {
	case c.cfg.ClientID != "":
		return identity{c.cfg.ClientID, c.method(server)}, nil, nil
	case c.cfg.Document != "" && server.ClientIDMetadataDocumentSupported:
		return identity{c.cfg.Document, login.MethodNone}, nil, nil
	case old.good(t.issuer, redirect, time.Now()):
		return identity{old.ID, old.Method}, old, nil
	case server.RegistrationEndpoint == "":
		return identity{}, nil, errors.New("the authorization server registers no clients by itself: register one there, and write its client_id into auth.oauth")
	}
	made, err := c.register(ctx, t, redirect)
	if err != nil {
		return identity{}, nil, err
	}
	return identity{made.ID, made.Method}, made, nil
}

// good reports whether a registration can be used there, for that redirect.
func (r *registration) good(issuer, redirect string, now time.Time) bool {
	return r != nil && r.Issuer == issuer && r.Redirect == redirect && (r.Expires.IsZero() || now.Before(r.Expires))
}

// method is how a client that was registered beforehand authenticates.
func (c *Client) method(server *oauthex.AuthServerMeta) login.Method {
	switch {
	case c.cfg.Key != nil:
		return login.MethodKey
	case c.cfg.Secret == nil:
		return login.MethodNone
	default:
		return bySecret(server)
	}
}

// bySecret is how a secret is shown: by Basic, unless the server takes it in the form alone.
func bySecret(server *oauthex.AuthServerMeta) login.Method {
	supported := server.TokenEndpointAuthMethodsSupported
	if slices.Contains(supported, string(login.MethodPost)) && !slices.Contains(supported, string(login.MethodBasic)) {
		return login.MethodPost
	}
	return login.MethodBasic
}

// register makes the broker a client of the authorization server (RFC 7591).
func (c *Client) register(ctx context.Context, t *target, redirect string) (*registration, error) {
	wanted := bySecret(&t.server)
	if s := t.server.TokenEndpointAuthMethodsSupported; len(s) > 0 && !slices.Contains(s, string(wanted)) {
		wanted = login.MethodNone
	}
	described := registered([]string{redirect}, wanted)
	made, err := oauthex.RegisterClient(ctx, t.server.RegistrationEndpoint, &described, c.http)
	if err != nil {
		return nil, fmt.Errorf("register at the authorization server: %s", printable(err.Error()))
	}
	r := &registration{
		Issuer: t.issuer, ID: made.ClientID, Secret: login.Secret(made.ClientSecret), Method: wanted, Redirect: redirect, Expires: made.ClientSecretExpiresAt,
	}
	if made.TokenEndpointAuthMethod != "" {
		r.Method = login.Method(made.TokenEndpointAuthMethod)
	}
	switch {
	case len(r.ID) > maxID || strings.ContainsFunc(r.ID, func(c rune) bool { return c < ' ' || c > '~' }):
		return nil, errors.New("register at the authorization server: it gave an identifier that is none")
	case r.Method == login.MethodNone:
		r.Secret = ""
	case r.Method != login.MethodBasic && r.Method != login.MethodPost:
		return nil, errors.New("register at the authorization server: it wants the client to authenticate in a way that was not asked for")
	case r.Secret == "":
		return nil, errors.New("register at the authorization server: it gave no secret, and wants one")
	}
	return r, nil
}

// clientOf is the broker as the client of an identity.
func (c *Client) clientOf(ctx context.Context, server *oauthex.AuthServerMeta, who identity, own *registration) (*login.Client, error) {
	made := &login.Client{
		Provider: &login.Provider{
			Issuer: server.Issuer, AuthorizationEndpoint: server.AuthorizationEndpoint, TokenEndpoint: server.TokenEndpoint,
			NamesItself: server.AuthorizationResponseIssParameterSupported,
		},
		ID: who.id, Method: who.method, HTTP: c.http,
	}
	switch {
	case who.id == c.cfg.ClientID:
		return made, c.prove(ctx, made, server)
	case own != nil && own.Issuer == server.Issuer && own.ID == who.id:
		made.Secret = own.Secret
		return made, nil
	case who.id == c.cfg.Document:
		return made, nil
	default:
		return nil, errUnknownClient
	}
}

// prove gives a client that was registered beforehand its key or secret.
func (c *Client) prove(ctx context.Context, made *login.Client, server *oauthex.AuthServerMeta) error {
	made.Method = c.method(server)
	switch {
	case c.cfg.Key != nil:
		made.Key = c.cfg.Key
		if s := server.TokenEndpointAuthSigningAlgValuesSupported; len(s) > 0 && !slices.Contains(s, c.cfg.Key.Algorithm()) {
			return errors.New("the authorization server takes no signatures by a key of this kind")
		}
	case c.cfg.Secret != nil:
		secret, err := c.cfg.Secret.Get(ctx, credentials.Subject{})
		if err != nil {
			return err
		}
		made.Secret = login.Secret(secret.Value.Reveal())
	}
	return nil
}

// bind keeps the secret of a client that was registered beforehand from every authorization server but
// the first that is shown it, unless the operator has named one: an upstream could name its own.
func (c *Client) bind(ctx context.Context, issuer string) error {
	if c.cfg.Secret == nil || c.cfg.Issuer != "" {
		return nil
	}
	k, err := c.store.load()
	if err != nil || k.SecretAt == issuer {
		return err
	}
	if k.SecretAt != "" {
		return errOtherIssuer
	}
	return c.store.change(ctx, func(k *kept) error {
		if k.SecretAt != "" && k.SecretAt != issuer {
			return errOtherIssuer
		}
		k.SecretAt = issuer
		return nil
	})
}

// knownServer is what was read of an authorization server.
type knownServer struct {
	meta *oauthex.AuthServerMeta
	at   time.Time
}

// cachedServer is the metadata of an authorization server, read now and then.
func (c *Client) cachedServer(ctx context.Context, issuer string) (*oauthex.AuthServerMeta, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known.meta != nil && known.meta.Issuer == issuer && time.Since(known.at) < knownFor {
		return known.meta, nil
	}
	meta, err := c.server(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the authorization server for its endpoints: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = knownServer{meta, time.Now()}
	return meta, nil
}

// refusedError is what an authorization server answered instead of a token. Of its words
// nothing is kept but the code.
type refusedError struct {
	status int
	code   string
}

// Error names the code, or the status without one.
func (e *refusedError) Error() string {
	if e.code == "" {
		return fmt.Sprintf("the authorization server refused: HTTP %d", e.status)
	}
	return "the authorization server refused: " + e.code
}

// plainGrant is err without a stranger's words.
func plainGrant(err error) error {
	g, ok := errors.AsType[*login.GrantError](err)
	if !ok {
		return err
	}
	refused := &refusedError{status: g.Status}
	if len(g.Code) <= 64 && !strings.ContainsFunc(g.Code, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }) {
		refused.code = g.Code
	}
	return refused
}

// over reports whether an error means that a person has to consent again.
func (c *Client) over(err error) bool {
	g, refused := errors.AsType[*refusedError](err)
	return errors.Is(err, errUnknownClient) || refused && g.code == "invalid_grant" || c.forgotten(err)
}

// forgotten reports whether an error means that the authorization server does not know the
// client any more which the broker has registered.
func (c *Client) forgotten(err error) bool {
	g, refused := errors.AsType[*refusedError](err)
	return refused && c.cfg.ClientID == "" && (g.code == "invalid_client" || g.code == "unauthorized_client")
}
