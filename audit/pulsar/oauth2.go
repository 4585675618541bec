package pulsar

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// OAuth2 are client credentials (RFC 6749 section 4.4) at a provider of tokens.
type OAuth2 struct {
	Issuer   string // whose metadata name the token endpoint; or
	TokenURL string // the endpoint itself
	ClientID string
	// Secret gives the client's secret. It is asked for every token, so that the secret
	// can be replaced.
	Secret   func() (string, error)
	Audience string // asked for, if not empty
	Scopes   []string
}

// oauthTimeout bounds one request to the provider.
const oauthTimeout = 15 * time.Second

func (o *OAuth2) validate() error {
	switch {
	case (o.Issuer == "") == (o.TokenURL == ""):
		return errors.New("OAuth 2.0 needs either an issuer or a token URL")
	case o.ClientID == "" || o.Secret == nil:
		return errors.New("OAuth 2.0 needs a client id and a secret")
	}
	return nil
}

// supplier gives tokens that have a quarter of their life, or at least a few seconds,
// before them.
func (o *OAuth2) supplier(ctx context.Context, t *tls.Config) func() (string, error) {
	client := &http.Client{Timeout: oauthTimeout, Transport: &http.Transport{TLSClientConfig: t.Clone(), DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	var (
		mu      sync.Mutex // guards what follows
		token   *oauth2.Token
		renewAt time.Time
	)
	return func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if token != nil && now.Before(renewAt) {
			return token.AccessToken, nil
		}
		fresh, err := o.request(ctx, client)
		if err != nil {
			if token != nil && now.Before(token.Expiry) { // the old one still serves
				return token.AccessToken, nil
			}
			return "", fmt.Errorf("get token: %w", err)
		}
		token, renewAt = fresh, now.Add(time.Until(fresh.Expiry)*3/4)
		return token.AccessToken, nil
	}
}

func (o *OAuth2) request(ctx context.Context, client *http.Client) (*oauth2.Token, error) {
	secret, err := o.Secret()
	if err != nil {
		return nil, err
	}
	endpoint := o.TokenURL
	if endpoint == "" {
		if endpoint, err = o.discover(ctx, client); err != nil {
			return nil, err
		}
	}
	c := clientcredentials.Config{ClientID: o.ClientID, ClientSecret: secret, TokenURL: endpoint, Scopes: o.Scopes}
	if o.Audience != "" {
		c.EndpointParams = url.Values{"audience": {o.Audience}}
	}
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	if token.Expiry.IsZero() {
		return nil, errors.New("the provider does not say when its token expires")
	}
	return token, nil
}

// discover reads the provider's metadata (OpenID Connect Discovery 1.0).
func (o *OAuth2) discover(ctx context.Context, client *http.Client) (_ string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(o.Issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	var metadata struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("metadata of %s: %s", o.Issuer, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&metadata); err != nil {
		return "", fmt.Errorf("metadata of %s: %w", o.Issuer, err)
	}
	if metadata.Issuer != o.Issuer || metadata.TokenEndpoint == "" {
		return "", fmt.Errorf("metadata of %s is of %q and names the token endpoint %q", o.Issuer, metadata.Issuer, metadata.TokenEndpoint)
	}
	return metadata.TokenEndpoint, nil
}
