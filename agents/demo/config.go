package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The identities of the demo (see the package comment).
const (
	CLIClient     = "deed-cli"     // public; redirects to any loopback port
	ConsoleClient = "deed-console" // public; redirects to Config.ConsoleRedirects

	Copilot  = "copilot"
	SubAgent = "sub-agent"
)

// Values for the fields of [Config] that are zero.
const (
	DefaultURL            = "http://127.0.0.1:8643/demo"
	DefaultPersonLifetime = 8 * time.Hour
	DefaultAgentLifetime  = 15 * time.Minute
)

// Config is all there is to set.
type Config struct {
	// URL is the issuer: http, a literal loopback address, a path that ends in /demo.
	URL string
	// Resources are the audiences that tokens may have; the first is for requests
	// that name none. At least one.
	Resources []string
	// ConsoleRedirects are the exact redirect URIs of the console.
	ConsoleRedirects []string

	Users  map[string][]string // roles by name
	Agents []Agent

	// Widened hears of each attempt to exchange a token for one that may do more; may be nil.
	Widened func(ctx context.Context)

	PersonLifetime time.Duration // of tokens that people get
	AgentLifetime  time.Duration // of tokens that agents get
}

// Agent is a client with a secret that acts for others.
type Agent struct {
	ID      string
	Roles   []string // not in tokens: for the broker's configuration
	ActsFor []string // agents that it may act for, besides people
}

// DefaultUsers are alice, bob and carol.
func DefaultUsers() map[string][]string {
	return map[string][]string{"alice": {"support"}, "bob": {"lead"}, "carol": {"auditor"}}
}

// DefaultAgents are copilot and sub-agent.
func DefaultAgents() []Agent {
	return []Agent{{ID: Copilot, Roles: []string{"assistant"}}, {ID: SubAgent, Roles: []string{"assistant"}, ActsFor: []string{Copilot}}}
}

// PeopleClients are the clients whose tokens are people's own.
func PeopleClients() []string { return []string{CLIClient, ConsoleClient} }

func (c Config) withDefaults() Config {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	if c.Users == nil {
		c.Users = DefaultUsers()
	}
	if c.Agents == nil {
		c.Agents = DefaultAgents()
	}
	if c.PersonLifetime == 0 {
		c.PersonLifetime = DefaultPersonLifetime
	}
	if c.AgentLifetime == 0 {
		c.AgentLifetime = DefaultAgentLifetime
	}
	c.Resources, c.ConsoleRedirects = slices.Clone(c.Resources), slices.Clone(c.ConsoleRedirects)
	c.Users, c.Agents = maps.Clone(c.Users), slices.Clone(c.Agents)
	return c
}

func (c Config) validate() error {
	var errs []error
	if _, err := parseURL(c.URL); err != nil {
		errs = append(errs, err)
	}
	if len(c.Resources) == 0 || slices.Contains(c.Resources, "") {
		errs = append(errs, errors.New("no resources, or an empty one"))
	}
	if c.PersonLifetime < time.Second || c.AgentLifetime < time.Second {
		errs = append(errs, errors.New("a lifetime is shorter than a second"))
	}
	taken := map[string]bool{CLIClient: true, ConsoleClient: true}
	for _, a := range c.Agents {
		if a.ID == "" || taken[a.ID] || c.Users[a.ID] != nil {
			errs = append(errs, fmt.Errorf("agent %q has no name of its own", a.ID))
		}
		taken[a.ID] = true
	}
	for _, redirect := range c.ConsoleRedirects {
		if u, err := url.Parse(redirect); err != nil || u.Scheme == "" || u.Host == "" || u.Fragment != "" {
			errs = append(errs, fmt.Errorf("console redirect %q is not an absolute URL", redirect))
		}
	}
	return errors.Join(errs...)
}

// parseURL accepts nothing that could be reached from elsewhere, or pass for a
// real issuer.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the issuer is not a URL")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil || !addr.IsLoopback() {
		return nil, errors.New("the issuer is not at a literal loopback address")
	}
	if u.Scheme != "http" || u.Port() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the issuer is not http://address:port/path")
	}
	if u.Path != "/demo" && !strings.HasSuffix(u.Path, "/demo") {
		return nil, errors.New("the issuer's path does not end in /demo")
	}
	return u, nil
}

// IsURL reports whether an issuer's URL is that of a demo issuer on this machine.
func IsURL(issuer string) bool {
	_, err := parseURL(issuer)
	return err == nil
}
