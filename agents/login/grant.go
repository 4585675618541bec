package login

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Client is an OAuth client at a provider.
type Client struct {
	Provider *Provider
	ID       string
	Secret   Secret       // empty for a public client
	Method   Method       // left out: MethodBasic with a secret, MethodNone without
	Key      *Key         // of MethodKey
	HTTP     *http.Client // nil: one with a time-out of 30 s
}

// GrantError is a provider's refusal (RFC 6749 section 5.2).
type GrantError struct {
	Status      int    // of the HTTP answer; 0 if it came by redirect
	Code        string // such as invalid_grant; empty if the answer had none
	Description string // the provider's words, for people
}

// Error says what the provider said.
func (e *GrantError) Error() string {
	switch {
	case e.Code == "":
		return fmt.Sprintf("the provider answered %d", e.Status)
	case e.Description == "":
		return "the provider refused: " + e.Code
	default:
		return "the provider refused: " + e.Code + ": " + e.Description
	}
}

// Target says what a token is for.
type Target struct {
	Resource string   // RFC 8707: the broker's canonical {url}/mcp; may be empty
	Scopes   []string // empty: what the provider gives by itself
	// Params are more parameters of the token request, of the provider's own.
	Params url.Values
}

func (t Target) form(grantType string) url.Values {
	form := url.Values{"grant_type": {grantType}}
	if t.Resource != "" {
		form.Set("resource", t.Resource)
	}
	if len(t.Scopes) > 0 {
		form.Set("scope", strings.Join(t.Scopes, " "))
	}
	maps.Copy(form, t.Params)
	return form
}

const (
	exchangeGrant   = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // the name of a kind of token
)

// Credentials gets a token for the client itself (RFC 6749 section 4.4).
func (c *Client) Credentials(ctx context.Context, target Target) (*Token, error) {
	return c.grant(ctx, "get client credentials", target.form("client_credentials"))
}

// Exchange gets a token with which this client acts for the subject of another
// token (RFC 8693): the client that authenticates is the actor.
func (c *Client) Exchange(ctx context.Context, subject Secret, target Target) (*Token, error) {
	form := target.form(exchangeGrant)
	form.Set("subject_token", string(subject))
	form.Set("subject_token_type", accessTokenType)
	form.Set("requested_token_type", accessTokenType)
	return c.grant(ctx, "exchange token", form)
}

// Renew trades a refresh token for a new token. If the answer has no refresh token,
// the old one stays in use.
func (c *Client) Renew(ctx context.Context, refresh Secret, target Target) (*Token, error) {
	form := target.form("refresh_token")
	form.Set("refresh_token", string(refresh))
	t, err := c.grant(ctx, "renew token", form)
	if err == nil && t.Refresh == "" {
		t.Refresh = refresh
	}
	return t, err
}

func (c *Client) grant(ctx context.Context, verb string, form url.Values) (*Token, error) {
	t, err := c.post(ctx, form)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return t, nil
}

func (c *Client) post(ctx context.Context, form url.Values) (*Token, error) {
	header, err := c.authenticate(form)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Provider.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	sent := time.Now()
	status, body, err := do(c.HTTP, request)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, refusal(status, body)
	}
	return parseToken(body, sent)
}

func refusal(status int, body []byte) error {
	var answer struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return &GrantError{Status: status}
	}
	return &GrantError{Status: status, Code: printable(answer.Code), Description: printable(answer.Description)}
}

// printable is a provider's text, safe for a terminal.
func printable(s string) string {
	const limit = 300
	out := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
	return string(out[:min(len(out), limit)])
}
