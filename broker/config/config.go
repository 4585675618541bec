package config

import (
	_ "embed" // schema.json
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/deedbroker/deed/broker/redact"
)

// What a key that is left out of deed.yaml stands for.
const (
	DefaultListen = "127.0.0.1:8642"
	DefaultTenant = "default"

	DefaultRolesClaim = "roles"          // issuers[].claims.roles
	DefaultEvery      = 10 * time.Second // issuers[].introspection.every

	DefaultRetention        = 365 * Day
	DefaultPayloadRetention = 90 * Day // at most retention
	DefaultPartitions       = 4        // domains.*.partitions; of the broker's own, 1

	DefaultPulsarRole = "deed"         // log.pulsar.role
	DefaultBacklog    = Size(10 << 30) // log.pulsar.backlog

	MaxWithin = 24 * time.Hour // upstreams.*.idempotency.*.within

	DefaultTimeout     = 60 * time.Second // upstreams.*.timeout
	DefaultConcurrency = 64               // upstreams.*.concurrency
	DefaultFailures    = 5                // upstreams.*.breaker.failures
	DefaultCooldown    = 15 * time.Second // upstreams.*.breaker.cooldown

	DefaultWait    = 45 * time.Second // holds.wait: below the 60 s after which some clients give up
	DefaultExpires = 15 * time.Minute // holds.expires
	DefaultMaxOpen = 100              // holds.max_open

	DefaultCallsPerAgent = 50             // limits.calls_per_agent, a second
	DefaultBody          = Size(4 << 20)  // limits.body
	DefaultAnswer        = Size(16 << 20) // limits.answer
	DefaultViewers       = 256            // limits.viewers
	DefaultTokenLifetime = 24 * time.Hour // limits.token_lifetime
	DefaultClockSkew     = time.Minute    // limits.clock_skew
)

// Config is a whole deed.yaml. One that [Load] or [Parse] returned is valid, has
// every default filled in and every path made relative to the file's directory.
type Config struct {
	Listen string `yaml:"listen"` // host:port
	// URL is where clients reach the broker: scheme and host, without a trailing
	// slash. The audience of tokens is [Config.Audience].
	URL    string `yaml:"url"`
	Tenant string `yaml:"tenant"`
	Data   string `yaml:"data"` // directory of the embedded log, index, spool and keys

	Log       Log                 `yaml:"log"`
	Issuers   []Issuer            `yaml:"issuers"`
	Agents    map[string]Agent    `yaml:"agents"`   // by the actor's id, as tokens and events have it
	Policies  []string            `yaml:"policies"` // globs of Cedar files
	Domains   map[string]Domain   `yaml:"domains"`
	Upstreams map[string]Upstream `yaml:"upstreams"`
	Scopes    Scopes              `yaml:"scopes"`
	Vault     *Vault              `yaml:"vault"` // where vault:// references are read
	Holds     Holds               `yaml:"holds"`
	Notify    Notify              `yaml:"notify"` // who is told of calls that wait for people
	Limits    Limits              `yaml:"limits"`
	Archive   *Archive            `yaml:"archive"` // where records are put before retention removes them
	Witnesses Witnesses           `yaml:"witnesses"`
	Shadow    Shadow              `yaml:"shadow"`
	Sinks     map[string]Sink     `yaml:"sinks"`
}

// Log says where events are kept; the zero value is the embedded log.
type Log struct {
	Pulsar *Pulsar `yaml:"pulsar"`
	// KeyAge is how old the key that seals the embedded log gets until another takes its
	// place; left out, until `deed key rotate`.
	KeyAge Duration `yaml:"key_age"`
}

// Pulsar is the place of a distributed log.
type Pulsar struct {
	URL   string     `yaml:"url"`
	Admin string     `yaml:"admin"`
	Auth  PulsarAuth `yaml:"auth"`
	// Role is whom Pulsar takes the brokers for: it alone may write.
	Role string `yaml:"role"`
	// Admins are the Pulsar roles that administer the tenant. They may read and
	// write everything in it, whatever else is said here.
	Admins []string `yaml:"admins"`
	// Readers are the Pulsar roles of those whom domains.*.readers names. One that is
	// not here has its own name for its Pulsar role; one with an empty list reads
	// within Deed only.
	Readers map[string][]string `yaml:"readers"`
	// SealKey is the file of the key that signs checkpoints, the same at every replica;
	// left out, it is in the data directory.
	SealKey string `yaml:"seal_key"`
	// Backlog is how much of a topic a subscription may leave unread before it is
	// moved on: no reader can stop the brokers from writing.
	Backlog Size `yaml:"backlog"`
}

// PulsarAuth says how the broker proves itself to Pulsar: by one of a token, OAuth 2.0
// and a certificate. Files are read again when they are needed, so that they can be
// replaced while the broker runs.
type PulsarAuth struct {
	TokenFile string        `yaml:"token_file"`
	OAuth2    *PulsarOAuth2 `yaml:"oauth2"`
	CertFile  string        `yaml:"cert_file"` // PEM, as are the next two
	KeyFile   string        `yaml:"key_file"`
	// CAFile has the certificates of who vouches for Pulsar; left out, the system's.
	CAFile string `yaml:"ca_file"`
}

// PulsarOAuth2 are client credentials at a provider of tokens that Pulsar accepts.
type PulsarOAuth2 struct {
	Issuer   string   `yaml:"issuer"`    // whose metadata name the token endpoint, or
	TokenURL string   `yaml:"token_url"` // the endpoint itself
	ClientID string   `yaml:"client_id"`
	Secret   Secret   `yaml:"secret"`
	Audience string   `yaml:"audience"`
	Scopes   []string `yaml:"scopes"`
}

// Issuer is an OpenID Connect provider whose tokens are accepted.
type Issuer struct {
	URL string `yaml:"url"` // exactly as in iss
	// Audience stands in for [Config.Audience], for providers that put ids of their own
	// into aud.
	Audience string `yaml:"audience"`
	// Hosts are those beside the issuer's own at which it may have endpoints.
	Hosts []string `yaml:"hosts"`
	// Prefix qualifies the principals and agents of this issuer where several are
	// configured; no two issuers share one.
	Prefix string `yaml:"prefix"`
	Claims Claims `yaml:"claims"`
	// PeopleClients are the client ids that people log in with: a token that such
	// a client obtained, and that has no act claim, is the person's own.
	PeopleClients []string `yaml:"people_clients"`
	// Algorithms may sign tokens; left out, all that the broker accepts of anybody.
	Algorithms []string `yaml:"algorithms"`
	// AllowPlainType also accepts tokens that aren't marked as access tokens
	// (RFC 9068, typ at+jwt), for providers that can't mark them.
	AllowPlainType bool `yaml:"allow_plain_type"`
	// AllowIDTokens also accepts tokens that look like ID tokens, for providers whose
	// access tokens do.
	AllowIDTokens bool `yaml:"allow_id_tokens"`
	// DPoP refuses tokens that are not bound to a key (RFC 9449) when it is "required".
	DPoP DPoP `yaml:"dpop"`
	// DPoPNonce also asks proofs of such keys for a nonce of the replica, so that none is
	// good at two of them.
	DPoPNonce bool `yaml:"dpop_nonce"`
	// Clients are agents' names by the client ids that stand for them in tokens.
	Clients       map[string]string `yaml:"clients"`
	Introspection *Introspection    `yaml:"introspection"`
	Console       ConsoleClient     `yaml:"console"`
}

// ConsoleClient is the public client by which people log in to the console.
type ConsoleClient struct {
	ClientID string   `yaml:"client_id"` // left out: deed-console
	Scopes   []string `yaml:"scopes"`    // asked for beside openid
}

// DPoP says what is asked of tokens.
type DPoP string

// The values of [DPoP].
const (
	DPoPAccepted DPoP = "accepted" // the default: a token may be bound to a key
	DPoPRequired DPoP = "required" // it must be
)

// Introspection has an issuer asked whether tokens are in force (RFC 7662).
type Introspection struct {
	Endpoint     string `yaml:"endpoint"` // left out: by the issuer's metadata
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	// Opaque has it asked about tokens that are no JWTs. One issuer may have it.
	Opaque bool     `yaml:"opaque"`
	Every  Duration `yaml:"every"` // how long its word that a token is in force is taken
}

// Scopes are those that tokens must have (RFC 6750 section 3.1).
type Scopes struct {
	Required []string `yaml:"required"` // of every request to /mcp
	// Includes are scopes that stand for others too.
	Includes map[string][]string `yaml:"includes"`
}

// Claims says where a token has what the broker needs; a dot descends into an object.
type Claims struct {
	Roles   string `yaml:"roles"`   // a list of strings
	Subject string `yaml:"subject"` // a string: the person; left out, sub
	Agent   string `yaml:"agent"`   // a string: who acts, where there is no act claim; left out, azp or client_id
	// ServiceAccount recognises tokens that a client got for itself, where the
	// provider gives a client another sub than its id.
	ServiceAccount ServiceAccount `yaml:"service_account"`
}

// ServiceAccount is how a provider marks such tokens: Claim is Value, in which
// "{client}" stands for the client's id. No person may be able to set the claim.
type ServiceAccount struct {
	Claim string `yaml:"claim"`
	Value string `yaml:"value"`
}

// Agent is what is known of an agent beyond its tokens.
type Agent struct {
	Roles   []string `yaml:"roles"`
	Owner   string   `yaml:"owner"` // who answers for it
	Purpose string   `yaml:"purpose"`
	DPoP    DPoP     `yaml:"dpop"` // of tokens that it acts with
}

// Domain is the unit of permission and retention that upstreams belong to. The
// one called deed is the broker's own: what is about no call, and calls that reached no
// upstream. It is always there, and is configured to say who reads it and for how long.
type Domain struct {
	Retention        Duration `yaml:"retention"`
	PayloadRetention Duration `yaml:"payload_retention"`
	Readers          []string `yaml:"readers"`    // roles
	Partitions       int      `yaml:"partitions"` // of its topics on Pulsar; fixed once they are there
	// Redact are fields of arguments and answers that are not put on record, as patterns of
	// package redact; Secrets is what is done with secrets in them: redact, flag or off.
	Redact  []string       `yaml:"redact"`
	Secrets redact.Secrets `yaml:"secrets"`
}

// Holds bounds how calls wait for people.
type Holds struct {
	// Wait is how long the request of a held call stays open before the agent gets
	// a pending answer.
	Wait Duration `yaml:"wait"`
	// Expires is the time limit of a hold whose policies name none.
	Expires Duration `yaml:"expires"`
	// MaxOpen is how many calls of one caller may be held at once.
	MaxOpen int `yaml:"max_open"`
}

// Limits bounds what a caller can make grow.
type Limits struct {
	CallsPerAgent Rate `yaml:"calls_per_agent"` // for one person
	// Calls are limits of what is done for each person, by each agent whoever it is for, with each
	// tool, and by all together; left out, there is none.
	Calls   Calls `yaml:"calls"`
	Body    Size  `yaml:"body"`    // of a request to the broker
	Answer  Size  `yaml:"answer"`  // of an upstream
	Viewers int   `yaml:"viewers"` // open streams
	// TokenLifetime is the longest time from iat to exp of a token that is accepted.
	TokenLifetime Duration `yaml:"token_lifetime"`
	// ClockSkew is how far an issuer's clock may differ from the broker's.
	ClockSkew Duration `yaml:"clock_skew"`
}

// Calls are limits of calls that are about to run.
type Calls struct {
	Principal CallLimit `yaml:"principal"`
	Agent     CallLimit `yaml:"agent"`
	Tool      CallLimit `yaml:"tool"`
	Tenant    CallLimit `yaml:"tenant"`
}

// CallLimit bounds calls by a rate, by how many run at once, or both.
type CallLimit struct {
	Rate       Rate `yaml:"rate"`
	Concurrent int  `yaml:"concurrent"`
}

// RolesOf are the Pulsar roles of a reader, see [Pulsar.Readers].
func (p *Pulsar) RolesOf(reader string) []string {
	if roles, mapped := p.Readers[reader]; mapped {
		return roles
	}
	return []string{reader}
}

//go:embed schema.json
var schema string

// Schema is the JSON Schema (2020-12) of deed.yaml, for editors.
func Schema() string { return schema }

// Audience is the aud that tokens for this broker carry (RFC 8707).
func (c *Config) Audience() string { return c.URL + "/mcp" }

// Shadow is a draft of the policies, which is asked beside those in force and changes nothing.
type Shadow struct {
	Policies []string `yaml:"policies"` // globs of Cedar files
}

// PolicyFiles expands the globs of policies, each file once, sorted. A glob that
// matches nothing is an error: policies that are not there refuse nobody.
func (c *Config) PolicyFiles() ([]string, error) { return expand("policies", c.Policies) }

// ShadowFiles is [Config.PolicyFiles] of the draft.
func (c *Config) ShadowFiles() ([]string, error) { return expand("shadow.policies", c.Shadow.Policies) }

func expand(key string, globs []string) ([]string, error) {
	var files []string
	var problems Problems
	for i, glob := range globs {
		found, err := filepath.Glob(glob)
		switch {
		case err != nil:
			problems = append(problems, problem(item(key, i), "is not a glob: %v", err))
		case len(found) == 0:
			problems = append(problems, problem(item(key, i), "no file matches %q; create one or remove the entry", glob))
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), problems.err()
}

// unsaid marks a key that is not in the file and whose default depends on others.
// No duration that can be written is negative.
var unsaid = Duration{-1}

// unsaidCount is the same of a count.
const unsaidCount = math.MinInt32

func (c *Config) setDefaults() {
	c.Listen, c.Tenant = DefaultListen, DefaultTenant
	c.Holds = Holds{Wait: Duration{DefaultWait}, Expires: Duration{DefaultExpires}, MaxOpen: DefaultMaxOpen}
	c.Limits = Limits{
		CallsPerAgent: Rate{Count: DefaultCallsPerAgent, Per: time.Second},
		Body:          DefaultBody, Answer: DefaultAnswer, Viewers: DefaultViewers,
		TokenLifetime: Duration{DefaultTokenLifetime}, ClockSkew: Duration{DefaultClockSkew},
	}
}

func (i *Issuer) setDefaults() {
	i.Claims.Roles = DefaultRolesClaim
}

func (i *Introspection) setDefaults() { i.Every = Duration{DefaultEvery} }

func (d *Domain) setDefaults() {
	d.Retention, d.PayloadRetention, d.Partitions = unsaid, unsaid, unsaidCount
}

func (p *Pulsar) setDefaults() {
	p.Role, p.Backlog = DefaultPulsarRole, DefaultBacklog
}
