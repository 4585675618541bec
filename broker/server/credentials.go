package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/tools/credentials"
)

// credentialTimeout bounds one request for a credential.
const credentialTimeout = 10 * time.Second

// keepers are where the credentials of upstreams come from.
type keepers struct {
	issuers []config.Issuer
	vault   *credentials.Vault // nil if none is configured
}

func newKeepers(cfg *config.Config) (*keepers, error) {
	k := &keepers{issuers: cfg.Issuers}
	if cfg.Vault == nil {
		return k, nil
	}
	c := credentials.VaultConfig{URL: cfg.Vault.URL, Namespace: cfg.Vault.Namespace, Refresh: cfg.Vault.Refresh.Duration, Client: strictClient()}
	var err error
	if kubernetes := cfg.Vault.Kubernetes; kubernetes != nil {
		c.Role, c.Mount = kubernetes.Role, kubernetes.Mount
		c.JWT, err = k.secret(kubernetes.JWT)
	} else {
		c.Token, err = k.secret(cfg.Vault.Token)
	}
	if err == nil {
		k.vault, err = credentials.NewVault(c)
	}
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return k, nil
}

// strictClient follows no redirects: whoever gets a secret is who was configured.
func strictClient() *http.Client {
	return &http.Client{
		Timeout: credentialTimeout, Transport: http.DefaultTransport.(*http.Transport).Clone(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// source gives the credentials that an upstream is shown; nil for none.
func (k *keepers) source(ctx context.Context, a *config.Auth) (credentials.Source, error) {
	switch {
	case a == nil, a.OAuth != nil:
		return nil, nil //nolint:nilnil // an upstream that needs none, or asks for what it needs
	case a.Exchange != nil:
		c, err := k.client(a.Exchange)
		if err != nil {
			return nil, err
		}
		return credentials.Exchange(c, a.Exchange.Fallback == config.FallbackClient)
	case a.ClientCredentials != nil:
		c, err := k.client(a.ClientCredentials)
		if err != nil {
			return nil, err
		}
		return credentials.ClientCredentials(c)
	}
	s, err := k.secret(a.Secret)
	if err == nil && a.Secret.Scheme() != config.SchemeVault { // a mistake in the configuration is told at the start
		_, err = s.Get(ctx, credentials.Subject{})
	}
	return s, err
}

// secret is what a reference refers to.
func (k *keepers) secret(ref config.Secret) (credentials.Source, error) {
	path, field := ref.Path()
	switch ref.Scheme() {
	case config.SchemeEnv:
		return credentials.Env(path), nil
	case config.SchemeFile:
		return credentials.File(path), nil
	case config.SchemeK8s:
		return credentials.Projection(path), nil
	case config.SchemeVault:
		if k.vault != nil {
			return k.vault.Secret(path, field), nil
		}
		return nil, errors.New("there is no vault")
	default:
		return nil, errors.New("it refers to nothing")
	}
}

func (k *keepers) client(c *config.Client) (credentials.ClientConfig, error) {
	secret, err := k.secret(c.ClientSecret)
	if err != nil {
		return credentials.ClientConfig{}, fmt.Errorf("client_secret: %w", err)
	}
	made := credentials.ClientConfig{
		ID: c.ClientID, Secret: secret, Audience: c.Audience, Resource: c.Resource, Scopes: c.Scopes,
		Client: strictClient(), Endpoint: func(context.Context) (string, error) { return c.TokenURL, nil },
	}
	if c.TokenURL != "" {
		return made, nil
	}
	at := slices.IndexFunc(k.issuers, func(i config.Issuer) bool { return i.URL == c.Issuer || c.Issuer == "" })
	if at < 0 {
		return credentials.ClientConfig{}, errors.New("there is no such issuer")
	}
	peer, err := reach.New(k.issuers[at].URL, k.issuers[at].Hosts, credentialTimeout, nil)
	if err != nil {
		return credentials.ClientConfig{}, err
	}
	e := &endpoint{issuer: k.issuers[at].URL, client: peer.Client()}
	made.Client, made.Endpoint = peer.Client(), e.get
	return made, nil
}

// endpoint is an issuer's token endpoint, as its metadata has it.
type endpoint struct {
	issuer string
	client *http.Client

	mu    sync.Mutex
	found string // guarded by mu
}

func (e *endpoint) get(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.found != "" {
		return e.found, nil
	}
	p, err := login.Discover(ctx, e.client, e.issuer)
	if err != nil {
		return "", err
	}
	e.found = p.TokenEndpoint
	return e.found, nil
}
