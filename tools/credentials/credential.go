package credentials

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const redacted = "(redacted)"

// Secret is text that is shown to nobody by accident.
type Secret string

// Reveal is the text itself, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

// String is not the secret.
func (s Secret) String() string { return redacted }

// GoString is not the secret.
func (s Secret) GoString() string { return redacted }

// LogValue is not the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is not the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Reference is what may be said of a credential.
type Reference struct {
	Source  string    `json:"source"`            // such as vault://kv/data/crm#key; never a value
	Version string    `json:"version,omitempty"` // of the secret, where its keeper counts
	Lease   string    `json:"lease,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Credential is what an upstream is shown.
type Credential struct {
	Value Secret
	Reference
}

// Subject is on whose behalf the broker asks an upstream. Its zero value is the broker
// itself, when it connects and lists tools.
type Subject struct {
	Token Secret // what the caller showed; kept for the time of the request alone
	Gone  bool   // a call whose caller's token is not there any more
}

// digest tells tokens apart without keeping them.
func (s Subject) digest() string {
	sum := sha256.Sum256([]byte(s.Token))
	return hex.EncodeToString(sum[:])
}

// Source gives the credentials for one upstream. It is safe for concurrent use.
type Source interface {
	// Get returns what proves the broker to the upstream, for the subject where that
	// matters. Its error is an *[Error].
	Get(ctx context.Context, s Subject) (Credential, error)
	// Refused tells that the upstream did not take what Get returned for s.
	Refused(s Subject, c Credential)
}

// ErrNoCaller is in the chain of errors of an exchange for a caller whose token is gone.
var ErrNoCaller = errors.New("the caller's token is not kept while a call is held, so it cannot be exchanged any more; set auth.exchange.fallback, or call again")

// Error says why there is no credential. Nothing of it is secret.
type Error struct {
	Source string // the reference
	Err    error
}

// Error names the reference and the cause.
func (e *Error) Error() string {
	return fmt.Sprintf("no credential by %s: %v", e.Source, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// call is what travels with a request to the place where it is sent.
type call struct {
	subject Subject
	used    func(Reference)
}

type callKey struct{}

// With makes requests under ctx be sent for the caller of a call, and tells used, which
// may be nil, which credential was shown.
func With(ctx context.Context, s Subject, used func(Reference)) context.Context {
	s.Gone = s.Token == ""
	return context.WithValue(ctx, callKey{}, call{s, used})
}

// From is what With put into ctx: the broker itself if there was no With.
func From(ctx context.Context) (s Subject, used func(Reference)) {
	c, _ := ctx.Value(callKey{}).(call)
	if c.used == nil {
		c.used = func(Reference) {}
	}
	return c.subject, c.used
}
