package login

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// Secret is a string that prints as nothing. Convert it to use it.
type Secret string

const redacted = "[secret]"

// String says that there is a secret, not which.
func (s Secret) String() string { return redacted }

// GoString is String, for %#v.
func (s Secret) GoString() string { return redacted }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Token is what a provider granted.
type Token struct {
	Access  Secret    `json:"access_token"`
	Refresh Secret    `json:"refresh_token,omitempty"`
	ID      Secret    `json:"id_token,omitempty"`
	Scopes  []string  `json:"scopes,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // zero if the provider did not say
}

// Valid tells whether the token can be used at that time, as far as is known.
func (t *Token) Valid(now time.Time) bool {
	return t != nil && t.Access != "" && (t.Expires.IsZero() || now.Before(t.Expires))
}

// parseToken reads a token response (RFC 6749 section 5.1, RFC 8693 section 2.2.1).
func parseToken(body []byte, now time.Time) (*Token, error) {
	var answer struct {
		Access  Secret      `json:"access_token"`
		Refresh Secret      `json:"refresh_token"`
		ID      Secret      `json:"id_token"`
		Type    string      `json:"token_type"`
		Scope   string      `json:"scope"`
		Expires json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, errors.New("the answer is not a token response") // the cause would quote it
	}
	if answer.Access == "" {
		return nil, errors.New("the answer has no access token")
	}
	if !strings.EqualFold(answer.Type, "Bearer") {
		return nil, errors.New("the token is not a bearer token")
	}
	t := &Token{Access: answer.Access, Refresh: answer.Refresh, ID: answer.ID, Scopes: strings.Fields(answer.Scope)}
	if answer.Expires == "" {
		return t, nil
	}
	const century = 100 * 365 * 24 * 60 * 60
	seconds, err := answer.Expires.Float64()
	if err != nil || seconds < -century || seconds > century {
		return nil, errors.New("the answer's expires_in is not a number of seconds")
	}
	t.Expires = now.Add(time.Duration(seconds * float64(time.Second)))
	return t, nil
}
