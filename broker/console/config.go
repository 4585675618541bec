package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/deedbroker/deed/agents"
)

// Values for the fields of [Config] that are zero.
const (
	DefaultClientID    = "deed-console"
	DefaultMaxSessions = 10_000
)

// MaxSessionsPerPerson is how many browsers one person can be logged in with. One
// more ends the oldest.
const MaxSessionsPerPerson = 16

// Config is what a console needs. URL, Issuers, Verifier and Logger are required.
type Config struct {
	URL      string   // canonical: scheme and host; {URL}/callback is where issuers send people back to
	Issuers  []string // whose people may log in, as in iss
	Verifier agents.Verifier
	Logger   *slog.Logger

	// Clients are the public clients that the console is, by the issuer; where none is
	// named it is DefaultClientID, and asks for no more than the scope openid.
	Clients map[string]Client
	// HTTP reaches each issuer and what its metadata names, by the issuer; where there
	// is none, a client with a time-out of 30 s does.
	HTTP map[string]*http.Client
	// Reject is told of every token that an issuer gave and that did not verify; may be nil.
	Reject func(context.Context, *agents.Rejection)
	// Revocations ends sessions; may be nil.
	Revocations agents.Revocations
	MaxSessions int // one more ends the oldest
}

// Client is what the console is at one issuer.
type Client struct {
	ID     string
	Scopes []string // beside openid
}

// client is what the console is at an issuer.
func (c *Config) client(issuer string) Client {
	known := c.Clients[issuer]
	if known.ID == "" {
		known.ID = DefaultClientID
	}
	return known
}

// complete fills the defaults in, and gives the parsed URL.
func (c *Config) complete() (*url.URL, error) {
	if c.URL == "" || len(c.Issuers) == 0 || c.Verifier == nil || c.Logger == nil {
		return nil, errors.New("url, issuers, verifier and logger are required")
	}
	if c.MaxSessions < 0 {
		return nil, errors.New("a limit is negative")
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("canonical url: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("canonical url must be http(s)://host[:port] and nothing else")
	}
	c.Issuers = slices.Clone(c.Issuers)
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.Reject == nil {
		c.Reject = func(context.Context, *agents.Rejection) {}
	}
	return u, nil
}
