package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxTokenAnswer = 256 << 10
	// defaultLife is that of a token whose issuer does not say.
	defaultLife = time.Minute

	grantClient   = "client_credentials"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
)

// ClientConfig is a confidential client of the broker's own at an authorization server.
type ClientConfig struct {
	// Endpoint finds the token endpoint; it is asked each time, and may cache.
	Endpoint func(context.Context) (string, error)
	ID       string
	Secret   Source
	Audience string
	Resource string // RFC 8707
	Scopes   []string
	Client   *http.Client // required; it must not follow redirects
}

func (c ClientConfig) check() error {
	if c.Endpoint == nil || c.ID == "" || c.Secret == nil || c.Client == nil {
		return errors.New("configure client: endpoint, id, secret and client are required")
	}
	return nil
}

// source names the tokens that the client gets.
func (c ClientConfig) source(grant string) string {
	s := grant + "://" + c.ID
	if c.Audience != "" {
		s += "?audience=" + url.QueryEscape(c.Audience)
	}
	return s
}

// ClientCredentials gets a token for the broker itself (RFC 6749 section 4.4).
func ClientCredentials(c ClientConfig) (Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	ref := c.source("client-credentials")
	return single{newCached(ref, func(ctx context.Context) (fetched, error) {
		return c.request(ctx, ref, url.Values{"grant_type": {grantClient}})
	})}, nil
}

// request asks the token endpoint. Nothing of what it answers gets into an error but the
// error code, which is checked to be one.
func (c ClientConfig) request(ctx context.Context, ref string, form url.Values) (fetched, error) {
	at, err := c.Endpoint(ctx)
	if err != nil {
		return fetched{}, fmt.Errorf("find token endpoint: %w", err)
	}
	own, err := c.Secret.Get(ctx, Subject{})
	if err != nil {
		return fetched{}, err
	}
	if c.Audience != "" {
		form.Set("audience", c.Audience)
	}
	if c.Resource != "" {
		form.Set("resource", c.Resource)
	}
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return fetched{}, errors.New("the token endpoint is no URL")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(own.Value.Reveal()))
	response, err := c.Client.Do(r)
	if err != nil {
		return fetched{}, brief(err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxTokenAnswer))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fetched{}, brief(err)
	}
	if response.StatusCode == http.StatusUnauthorized {
		c.Secret.Refused(Subject{}, own)
	}
	return readToken(response.StatusCode, body, ref)
}

// tokenAnswer is that of a token endpoint (RFC 6749 section 5, RFC 8693 section 2.2).
type tokenAnswer struct {
	Access  string  `json:"access_token"`
	Expires float64 `json:"expires_in"`
	Error   string  `json:"error"`
}

func readToken(status int, body []byte, ref string) (fetched, error) {
	var a tokenAnswer
	err := json.Unmarshal(body, &a)
	switch {
	case status != http.StatusOK && err == nil && isCode(a.Error):
		return fetched{}, fmt.Errorf("the authorization server refused: HTTP %d, %s", status, a.Error)
	case status != http.StatusOK:
		return fetched{}, fmt.Errorf("the authorization server refused: HTTP %d", status)
	case err != nil || a.Access == "":
		return fetched{}, errors.New("the authorization server's answer cannot be read")
	}
	got, err := secret(ref, a.Access, 0)
	if err != nil {
		return fetched{}, fmt.Errorf("the authorization server gave no usable token: %w", err)
	}
	if a.Expires > 0 && a.Expires < 1e9 {
		got.Expires = time.Now().Add(time.Duration(a.Expires * float64(time.Second))).UTC()
	}
	if got.Expires.IsZero() {
		got.Expires = time.Now().Add(defaultLife).UTC()
	}
	return got, nil
}

// isCode reports whether s is an error code as RFC 6749 section 5.2 has them, and no more.
func isCode(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' })
}
