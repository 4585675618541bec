package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/dpop"
	"github.com/deedbroker/deed/agents/reach"
)

// Values for the fields of [Config] that are zero.
const (
	DefaultSkew             = time.Minute
	DefaultMaxLifetime      = 24 * time.Hour
	DefaultMaxTokenBytes    = 16 << 10
	DefaultMaxChain         = 5
	DefaultCacheSize        = 10_000
	DefaultRefreshInterval  = 5 * time.Minute
	DefaultMinFetchInterval = 10 * time.Second
	DefaultMaxKeyAge        = 24 * time.Hour
	DefaultFetchTimeout     = 10 * time.Second

	DefaultIntrospectionEvery = 10 * time.Second
)

// MaxSkew is the most that [Config] accepts for Skew and ExpiryLeeway.
const MaxSkew = 5 * time.Minute

// Config says whose tokens are accepted, and for what.
type Config struct {
	// Audience is the one value that a token's aud must contain, compared byte by
	// byte: the canonical URI of the resource ({url}/mcp).
	Audience string
	Issuers  []Issuer
	// Agents are the known agents, by their qualified ID. An agent that is not in it
	// has no roles. A subject that is in it is never a person.
	Agents map[string]Agent

	// Skew is how far ahead of this clock iat and nbf may lie.
	Skew time.Duration
	// ExpiryLeeway is how long after exp a token is still accepted. It is zero
	// unless set: the log flags events that were written after their token expired.
	ExpiryLeeway  time.Duration
	MaxLifetime   time.Duration // exp minus iat
	MaxTokenBytes int
	MaxChain      int // agents in a chain
	CacheSize     int // verified tokens kept

	RefreshInterval  time.Duration // between two looks at a provider's keys
	MinFetchInterval time.Duration // between two fetches that tokens with unknown keys cause
	MaxKeyAge        time.Duration // how long keys outlive the last successful fetch
	FetchTimeout     time.Duration // of one request to a provider

	// Client's transport reaches the providers; left out, one of package reach does,
	// which also keeps from private addresses. Redirects are not followed, nor hosts
	// visited that an issuer may not name, in any case.
	Client *http.Client
	// Proofs checks DPoP proofs; nil: one of its own. What stands in for another verifier
	// has its checker, so that no proof is good twice.
	Proofs *dpop.Checker
	// Withdrawn hears of tokens that verified, and that their issuer, when asked, says are
	// not in force any more; may be nil. It may be told of one more than once.
	Withdrawn func(ctx context.Context, id *agents.Identity)
	// Logger hears of trouble with providers and of changed keys; may be nil.
	Logger *slog.Logger
}

// Agent is what is known of an agent beyond its tokens.
type Agent struct {
	Roles []string
	// ProofRequired refuses tokens with this agent in their chain that are not bound to
	// a key (DPoP).
	ProofRequired bool
}

// Issuer is one provider whose tokens are accepted.
type Issuer struct {
	// URL is compared with iss byte by byte. It is https, or http on loopback.
	URL string
	// Audience stands in for [Config.Audience], for a provider that puts IDs of its own
	// into aud (Entra ID: the API's application ID).
	Audience string
	// Hosts are those beside the issuer's own at which it may have endpoints. See
	// package reach.
	Hosts []string
	// Prefix qualifies the issuer's principals and agents ("okta:alice"). At most
	// one issuer has none; its subjects may not look like those of another.
	Prefix string
	Claims Claims
	// PeopleClients are the client IDs that people themselves use, such as the CLI
	// and the console: a token from one of them without act is a person's own.
	PeopleClients []string
	// Algorithms that may sign, of those in [Algorithms]; left out, all of them.
	Algorithms []string
	// AllowPlainType also accepts tokens whose typ is JWT or missing, for providers
	// that cannot mark access tokens as RFC 9068 asks (at+jwt). Tokens that look
	// like ID tokens or logout tokens are refused all the same.
	AllowPlainType bool
	// AllowIDTokens also accepts tokens that look like ID tokens, for providers whose
	// access tokens do (Dex; Google's for service accounts). They must still be meant
	// for this resource, and not have been issued to it. It implies AllowPlainType.
	AllowIDTokens bool
	// ProofRequired refuses tokens that are not bound to a key (DPoP).
	ProofRequired bool
	// NonceRequired asks proofs for a nonce of this verifier's. See package dpop.
	NonceRequired bool
	// Clients are the agents that stand behind client IDs which say nothing to people:
	// the agent's name by the client's ID. Neither is qualified here.
	Clients map[string]string
	// Introspection has the issuer asked about tokens; nil: never.
	Introspection *Introspection
}

// Introspection is how an issuer is asked whether a token is in force (RFC 7662).
type Introspection struct {
	// Endpoint is by the issuer's metadata if left out.
	Endpoint string
	ClientID string
	// Secret gives the client's secret, called for each request so that it can rotate.
	Secret func() (string, error)
	// Opaque has the issuer asked about tokens that are no JWTs. One issuer may have it.
	Opaque bool
	// Every is how long the issuer's word that a token is in force is taken; left out,
	// DefaultIntrospectionEvery.
	Every time.Duration
}

// Claims names the claims of an issuer that no standard fixes.
type Claims struct {
	// Roles is a path such as "realm_access.roles", or the name of one claim; left
	// out, "roles". The claim is a list of strings, or one string.
	Roles string
	// Subject is the claim that names the person or client, a path; left out, "sub".
	Subject string
	// Agent names the client that a token was issued to. Left out, "azp" or
	// "client_id", those are both read and must agree; any other claim is read alone.
	Agent string
	// ServiceAccount recognises tokens that a client got for itself where the
	// provider gives a client another sub than its ID.
	ServiceAccount ServiceAccount
}

// ServiceAccount is how a provider marks the subject of client credentials:
// Claim (a path) is Value, in which "{client}" stands for the client's ID.
// Keycloak: preferred_username, "service-account-{client}". Auth0: sub,
// "{client}@clients". It MUST be a claim that no person can set on their own.
type ServiceAccount struct {
	Claim string
	Value string
}

// Algorithms are the signature algorithms that an issuer may be configured with:
// the asymmetric ones.
func Algorithms() []string {
	return []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
		oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
	}
}

func (c Config) withDefaults() Config {
	c.Skew = or(c.Skew, DefaultSkew)
	c.MaxLifetime = or(c.MaxLifetime, DefaultMaxLifetime)
	c.MaxTokenBytes = or(c.MaxTokenBytes, DefaultMaxTokenBytes)
	c.MaxChain = or(c.MaxChain, DefaultMaxChain)
	c.CacheSize = or(c.CacheSize, DefaultCacheSize)
	c.RefreshInterval = or(c.RefreshInterval, DefaultRefreshInterval)
	c.MinFetchInterval = or(c.MinFetchInterval, DefaultMinFetchInterval)
	c.MaxKeyAge = or(c.MaxKeyAge, DefaultMaxKeyAge)
	c.FetchTimeout = or(c.FetchTimeout, DefaultFetchTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// validate names everything that is wrong at once.
func (c Config) validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Audience == "" {
		wrong("no audience")
	}
	if len(c.Issuers) == 0 {
		wrong("no issuers")
	}
	if c.Skew < 0 || c.Skew > MaxSkew {
		wrong("skew %s is not within 0 and %s", c.Skew, MaxSkew)
	}
	if c.ExpiryLeeway < 0 || c.ExpiryLeeway > MaxSkew {
		wrong("expiry leeway %s is not within 0 and %s", c.ExpiryLeeway, MaxSkew)
	}
	for name, d := range map[string]time.Duration{
		"lifetime": c.MaxLifetime, "refresh interval": c.RefreshInterval, "minimum fetch interval": c.MinFetchInterval,
		"key age": c.MaxKeyAge, "fetch timeout": c.FetchTimeout,
	} {
		if d <= 0 {
			wrong("%s %s is not positive", name, d)
		}
	}
	for name, n := range map[string]int{"token size": c.MaxTokenBytes, "chain length": c.MaxChain, "cache size": c.CacheSize} {
		if n <= 0 {
			wrong("%s %d is not positive", name, n)
		}
	}
	urls, prefixes := map[string]bool{}, map[string]bool{}
	opaque := 0
	for _, i := range c.Issuers {
		if i.Introspection != nil && i.Introspection.Opaque {
			opaque++
		}
		if err := i.validate(c.Agents); err != nil {
			errs = append(errs, fmt.Errorf("issuer %q: %w", i.URL, err))
		}
		if urls[i.URL] {
			wrong("issuer %q is configured twice", i.URL)
		}
		if prefixes[i.Prefix] {
			wrong("issuer %q: prefix %q is another issuer's: each needs its own", i.URL, i.Prefix)
		}
		urls[i.URL], prefixes[i.Prefix] = true, true
	}
	if opaque > 1 {
		wrong("%d issuers have opaque tokens, which do not tell whose they are: one may", opaque)
	}
	return errors.Join(errs...)
}

var prefixForm = regexp.MustCompile(`^[a-z0-9-]*$`)

func (i Issuer) validate(known map[string]Agent) error {
	var errs []error
	if err := reach.CheckURL(i.URL); err != nil {
		errs = append(errs, err)
	}
	if !prefixForm.MatchString(i.Prefix) {
		errs = append(errs, fmt.Errorf("prefix %q is not of a-z, 0-9 and -", i.Prefix))
	}
	for _, alg := range i.Algorithms {
		if !slices.Contains(Algorithms(), alg) {
			errs = append(errs, fmt.Errorf("algorithm %q is not one of %s", alg, strings.Join(Algorithms(), ", ")))
		}
	}
	for _, client := range i.PeopleClients {
		if _, ok := known[qualify(i.Prefix, client)]; ok || client == "" {
			errs = append(errs, fmt.Errorf("client %q cannot be people's: it is empty or an agent", client))
		}
	}
	if (i.Claims.ServiceAccount.Claim == "") != (i.Claims.ServiceAccount.Value == "") {
		errs = append(errs, errors.New("a service account needs a claim and its value"))
	}
	for client, agent := range i.Clients {
		if slices.Contains(i.PeopleClients, client) || !isName(agent) {
			errs = append(errs, fmt.Errorf("client %q cannot stand for agent %q: it is people's, or the agent has no sane name", client, agent))
		}
	}
	if in := i.Introspection; in != nil && (in.ClientID == "" || in.Secret == nil || in.Every < 0) {
		errs = append(errs, errors.New("introspection needs a client ID and its secret"))
	}
	return errors.Join(errs...)
}

func qualify(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + ":" + name
}
