package config

// Upstream is what stands behind tools: exactly one of Command, URL, Builtin (and
// OpenAPI, which this version refuses) says which kind; see [Upstream.Kind].
type Upstream struct {
	Domain string `yaml:"domain"`

	Command []string `yaml:"command"` // an MCP server over stdio
	// Env is added to the minimal environment of Command. It is for settings: a
	// secret does not belong in a worker's environment.
	Env map[string]string `yaml:"env"`

	URL     string           `yaml:"url"` // an MCP server over Streamable HTTP
	Headers map[string]Value `yaml:"headers"`
	Auth    *Auth            `yaml:"auth"`

	Builtin string `yaml:"builtin"` // a package of Deed: files or ledger
	// Dir is the directory that Builtin serves or keeps its data in, or in which
	// Command runs.
	Dir string `yaml:"dir"`

	OpenAPI string `yaml:"openapi"`

	// Scopes are those that a token must have to call any of the tools; ToolScopes more,
	// by the tool's own name.
	Scopes     []string            `yaml:"scopes"`
	ToolScopes map[string][]string `yaml:"tool_scopes"`

	// Sentences put a call into words for those who decide on it, by the tool's own
	// name: "Refund {amount} of {payment}". See package sentence.
	Sentences map[string]string `yaml:"sentences"`

	Timeout     Duration `yaml:"timeout"`     // of one call; after it the outcome is unknown
	Concurrency int      `yaml:"concurrency"` // calls that may run in it at once
}

// Auth says how the broker proves itself to an HTTP upstream: never with the
// caller's token.
type Auth struct {
	Secret   Secret    `yaml:"secret"` // sent as a bearer token
	Exchange *Exchange `yaml:"exchange"`
}

// Exchange asks the issuer for a token of the upstream's own (RFC 8693).
type Exchange struct {
	Audience string `yaml:"audience"`
}

// Kind is how an upstream is reached.
type Kind uint8

// The kinds of upstream.
const (
	KindUnknown Kind = iota
	KindCommand      // a child process that speaks MCP over stdio
	KindHTTP         // an MCP server over Streamable HTTP
	KindBuiltin      // a package of Deed
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
	if len(kinds) != 1 || u.OpenAPI != "" {
		return KindUnknown
	}
	return kinds[0]
}

func (u *Upstream) setDefaults() {
	u.Timeout = Duration{DefaultTimeout}
	u.Concurrency = DefaultConcurrency
}
