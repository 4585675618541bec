package config

// Upstream is what stands behind tools: exactly one of Command, URL, OpenAPI and Builtin
// says which kind; see [Upstream.Kind].
type Upstream struct {
	Domain string `yaml:"domain"`

	Command []string `yaml:"command"` // an MCP server over stdio
	// Env is added to the minimal environment of Command. It is for settings: a
	// secret does not belong in a worker's environment.
	Env map[string]string `yaml:"env"`

	// Resources bound what Command may use, on Linux.
	Resources Resources `yaml:"resources"`

	URL string `yaml:"url"` // an MCP server over HTTP
	// Transport is how URL is spoken to: http, the default (Streamable HTTP), or sse (HTTP with
	// server-sent events, of revision 2024-11-05).
	Transport string `yaml:"transport"`

	Headers map[string]Value `yaml:"headers"`
	Auth    *Auth            `yaml:"auth"`

	Builtin string `yaml:"builtin"` // a package of Deed: files or ledger
	// Dir is the directory that Builtin serves or keeps its data in, or in which
	// Command runs.
	Dir string `yaml:"dir"`

	OpenAPI string `yaml:"openapi"` // URL or path of an HTTP service's OpenAPI 3 document
	// BaseURL is where that service is; left out, where the document says, if it is the
	// host that the document is at.
	BaseURL string `yaml:"base_url"`
	// Operations selects those of the document that become tools; left out, all.
	Operations Operations `yaml:"operations"`

	// Scopes are those that a token must have to call any of the tools; ToolScopes more,
	// by the tool's own name.
	Scopes     []string            `yaml:"scopes"`
	ToolScopes map[string][]string `yaml:"tool_scopes"`

	// Sentences put a call into words for those who decide on it, by the tool's own
	// name: "Refund {amount} of {payment}". See package sentence.
	Sentences map[string]string `yaml:"sentences"`

	// DryRuns say how people who decide on a call find out what it would change, by the tool's
	// own name.
	DryRuns map[string]DryRun `yaml:"dry_runs"`

	// Idempotency says how repeats of calls are recognised and told to the upstream, by the
	// tool's own name, or for the others by "*".
	Idempotency map[string]Idempotency `yaml:"idempotency"`

	// Trust says how far the definitions of its tools are believed: first_use, the
	// default (at first sight, unless their text seems to instruct models; a change is
	// quarantined), reviewed (quarantined until a person has reviewed them) or any.
	Trust string `yaml:"trust"`

	Timeout     Duration `yaml:"timeout"`     // of one call; after it the outcome is unknown
	Concurrency int      `yaml:"concurrency"` // calls that may run in it at once
	Answer      Size     `yaml:"answer"`      // of one call; left out, limits.answer
	Breaker     Breaker  `yaml:"breaker"`
	// Tools are limits of single tools, by their own names, within those of the upstream.
	Tools map[string]ToolLimits `yaml:"tools"`
}

// ToolLimits bound the calls of one tool. What is left out is the upstream's.
type ToolLimits struct {
	Timeout     Duration `yaml:"timeout"`
	Concurrency int      `yaml:"concurrency"`
}

// Breaker says when an upstream that does not take or answer calls is left alone: after
// Failures in a row, for Cooldown; then one call is let through to try.
type Breaker struct {
	Failures int      `yaml:"failures"`
	Cooldown Duration `yaml:"cooldown"`
}

// Resources bound a child process, and each that it starts. What is left out is not bounded.
type Resources struct {
	Memory    Size     `yaml:"memory"`    // of its data
	CPU       Duration `yaml:"cpu"`       // processor time in all
	Files     int      `yaml:"files"`     // open at once
	Processes int      `yaml:"processes"` // of the user that it runs as
}

// Operations selects operations of an OpenAPI document: those that any of Include matches, or
// all if it is empty, but none that any of Exclude matches.
type Operations struct {
	Include []OperationMatch `yaml:"include"`
	Exclude []OperationMatch `yaml:"exclude"`
}

// OperationMatch matches an operation for which all that it says is so.
type OperationMatch struct {
	ID     string `yaml:"id"`     // operationId; * stands for anything
	Tag    string `yaml:"tag"`    // one of its tags
	Method string `yaml:"method"` // GET, POST, …
	Path   string `yaml:"path"`   // as in the document; * stands for anything in a segment, /** for all below
}

// Auth says how the broker proves itself to an HTTP upstream: never with the
// caller's token.
//
// Exactly one of Secret, Exchange, ClientCredentials and OAuth says what it shows.
type Auth struct {
	Secret            Secret  `yaml:"secret"`
	Exchange          *Client `yaml:"exchange"`           // of the caller's token for one at the upstream's audience (RFC 8693)
	ClientCredentials *Client `yaml:"client_credentials"` // of the broker's own (RFC 6749 section 4.4)
	OAuth             *OAuth  `yaml:"oauth"`              // of what the server asks for by discovery
	Header            string  `yaml:"header"`             // left out: Authorization, as a bearer token
}

// Idempotency is what a tool knows of idempotency keys, and what counts as a repeat.
type Idempotency struct {
	// Field is the argument that takes a key. It is filled in for calls that have a key and
	// leave it out, and is the key of those that fill it in themselves.
	Field string `yaml:"field"`
	// Header takes the key of a call to an HTTP upstream.
	Header string `yaml:"header"`
	// Within is for how long a call without a key repeats an earlier one of the same caller with
	// the same arguments, and gets its outcome; left out, never.
	Within Duration `yaml:"within"`
}

// What becomes of a held call of an upstream that exchanges tokens, if its caller is
// gone when it runs: their token is not kept.
const (
	FallbackRefuse = "refuse"             // it fails, and nothing is done
	FallbackClient = "client_credentials" // it runs with the broker's own credentials
)

// Client is a confidential client of the broker at an authorization server.
type Client struct {
	// Issuer is one of issuers; left out, the only one. TokenURL is its token endpoint, if
	// it is not to be asked for it, or of an authorization server that is no issuer here.
	Issuer       string   `yaml:"issuer"`
	TokenURL     string   `yaml:"token_url"`
	ClientID     string   `yaml:"client_id"`
	ClientSecret Secret   `yaml:"client_secret"`
	Audience     string   `yaml:"audience"`
	Resource     string   `yaml:"resource"`
	Scopes       []string `yaml:"scopes"`
	Fallback     string   `yaml:"fallback"` // of an exchange: refuse or client_credentials
}

// Kind is how an upstream is reached.
type Kind uint8

// The kinds of upstream.
const (
	KindUnknown Kind = iota
	KindCommand      // a child process that speaks MCP over stdio
	KindHTTP         // an MCP server over Streamable HTTP
	KindBuiltin      // a package of Deed
	KindOpenAPI      // an HTTP service with an OpenAPI document
)

// The values of Transport.
const (
	TransportHTTP = "http"
	TransportSSE  = "sse"
)

// The values of Trust.
const (
	TrustFirstUse = "first_use"
	TrustReviewed = "reviewed"
	TrustAny      = "any"
)

// The packages that Builtin can name.
const (
	BuiltinFiles  = "files"  // a directory, opened as a root that cannot be left
	BuiltinLedger = "ledger" // accounts and refunds in an SQLite file
)

// Kind is how the upstream is reached; KindUnknown if it doesn't say, or says it twice.
func (u *Upstream) Kind() Kind {
	var kinds []Kind
	if len(u.Command) > 0 {
		kinds = append(kinds, KindCommand)
	}
	if u.URL != "" {
		kinds = append(kinds, KindHTTP)
	}
	if u.Builtin != "" {
		kinds = append(kinds, KindBuiltin)
	}
	if u.OpenAPI != "" {
		kinds = append(kinds, KindOpenAPI)
	}
	if len(kinds) != 1 {
		return KindUnknown
	}
	return kinds[0]
}

func (b *Breaker) setDefaults() {
	b.Failures, b.Cooldown = DefaultFailures, Duration{DefaultCooldown}
}

func (u *Upstream) setDefaults() {
	u.Trust = TrustFirstUse
	u.Timeout = Duration{DefaultTimeout}
	u.Concurrency = DefaultConcurrency
	u.Breaker.setDefaults()
}
