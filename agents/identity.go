package agents

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Identity is what a verified token says of its bearer.
type Identity struct {
	Issuer string // exactly as in iss

	// Principal is the human, qualified where several issuers are configured;
	// empty when an agent acts on its own.
	Principal string
	// Chain is who acts, the current actor first (RFC 8693 section 4.1). It is
	// empty for a person's own token.
	Chain []Actor

	Roles   []string // of the principal; an agent's own roles are in its Actor
	Scopes  []string
	ACR     string // authentication context class (OpenID Connect Core, acr)
	Session string // sid
	TokenID string // jti
	KeyID   string // kid of the key that signed the token

	TokenDigest string // hex SHA-256 of the token; the token itself is not kept
	IssuedAt    time.Time
	Expires     time.Time
}

// Actor is one agent of a delegation chain.
type Actor struct {
	ID    string   // act.sub, else azp or client_id; qualified like a principal
	Roles []string // from the broker's configuration, never from the token
	// Registered: the broker's configuration names it, with somebody who answers for it.
	Registered bool
}

// Person reports whether a human holds this token with nobody acting in between.
// Only such a token may approve.
func (i *Identity) Person() bool { return i.Principal != "" && len(i.Chain) == 0 }

// Actor is the ID of who acts now; empty for a person.
func (i *Identity) Actor() string {
	if len(i.Chain) == 0 {
		return ""
	}
	return i.Chain[0].ID
}

// Key identifies principal and chain, for binding handles and limits to a caller.
// Two identities with the same key differ at most in their tokens.
func (i *Identity) Key() string {
	parts := []string{i.Issuer, i.Principal}
	for _, a := range i.Chain {
		parts = append(parts, a.ID)
	}
	return strings.Join(parts, "\x00")
}

// HasScope reports whether the token carries scope.
func (i *Identity) HasScope(scope string) bool { return slices.Contains(i.Scopes, scope) }

// Verifier turns a credential into the identity that it proves.
type Verifier interface {
	// Verify checks everything about the token, and the proof if the token asks for
	// one. Its error is a *Rejection. The identity may be shared between calls and
	// MUST NOT be modified.
	Verify(ctx context.Context, c Credential) (*Identity, error)
}
