package config

import (
	"cmp"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deedbroker/deed/broker/redact"
)

// reserved is the broker's own name among domains and upstreams.
const reserved = "deed"

// maxSkew bounds limits.clock_skew: tokens of the future are accepted by that much.
const maxSkew = 5 * time.Minute

// maxName is the longest name of a tenant, domain or upstream, in bytes.
const maxName = 63

// Validate checks everything that can be checked without touching a file, a
// network or the environment. Its error is a [Problems].
func (c *Config) Validate() error {
	v := &validation{config: c}
	v.server(c)
	if c.Log.Pulsar != nil {
		v.pulsar(c.Log.Pulsar, c.Domains)
	}
	v.keyAge(c.Log)
	v.issuers(c.Issuers)
	v.agents(c.Agents)
	v.policies(c.Policies)
	v.domains(c.Domains)
	for _, name := range sorted(c.Upstreams) {
		u := c.Upstreams[name]
		v.upstream(child("upstreams", name), name, &u, c.Domains)
	}
	v.scopes(c.Scopes)
	v.vault("vault", c.Vault)
	v.holds(c.Holds)
	v.notify(c.Notify)
	v.limits(c.Limits)
	v.archive(c.Archive, c.Log.Pulsar)
	v.witnesses(&c.Witnesses)
	v.sinks(c.Sinks)
	v.globs("shadow.policies", c.Shadow.Policies)
	return v.problems.err()
}

// minKeyAge keeps a slip of the unit from filling the log with keys.
const minKeyAge = time.Hour

func (v *validation) keyAge(l Log) {
	switch {
	case l.KeyAge.Duration != 0 && l.Pulsar != nil:
		v.fail("log.key_age", "is for the embedded log: on Pulsar every broker has to be given the next key; see deed key --help")
	case l.KeyAge.Duration != 0 && l.KeyAge.Duration < minKeyAge:
		v.fail("log.key_age", "must be at least %s", minKeyAge)
	}
}

type validation struct {
	config   *Config
	problems Problems
}

func (v *validation) fail(key, format string, args ...any) {
	v.problems = append(v.problems, problem(key, format, args...))
}

func (v *validation) server(c *Config) {
	host, port, err := net.SplitHostPort(c.Listen)
	if _, badPort := strconv.ParseUint(port, 10, 16); err != nil || badPort != nil {
		v.fail("listen", "%q is not host:port; write one like %q", c.Listen, DefaultListen)
	}
	switch {
	case c.URL != "":
		v.origin("url", c.URL)
	case err == nil && !isLoopback(host):
		v.fail("url", "is needed, since listen is not a loopback address: it is what tokens are issued for")
	default:
		v.fail("url", "is needed; write where clients reach the broker, such as \"https://deed.example\"")
	}
	v.name("tenant", c.Tenant)
	if c.Data == "" {
		v.fail("data", "is needed; name a directory")
	}
}

func (v *validation) issuers(issuers []Issuer) {
	if len(issuers) == 0 {
		v.fail("issuers", "none is configured, so that no token could be verified; add one with its url")
	}
	urls, prefixes, opaque := map[string]bool{}, map[string]bool{}, false
	for i, issuer := range issuers {
		key := item("issuers", i)
		v.webURL(child(key, "url"), issuer.URL)
		if urls[issuer.URL] {
			v.fail(child(key, "url"), "is configured twice; keep one")
		}
		if issuer.Prefix != "" {
			v.name(child(key, "prefix"), issuer.Prefix)
		}
		if prefixes[issuer.Prefix] {
			v.fail(child(key, "prefix"), "%q is another issuer's prefix too: their people would be taken for each other; give each its own", issuer.Prefix)
		}
		urls[issuer.URL], prefixes[issuer.Prefix] = true, true
		if in := issuer.Introspection; in != nil && in.Opaque {
			if opaque {
				v.fail(child(key, "introspection.opaque"), "is another issuer's too; an opaque token does not tell whose it is, so that one issuer may have them")
			}
			opaque = true
		}
		v.word(child(key, "claims.roles"), issuer.Claims.Roles)
		if issuer.Claims.Agent != "" {
			v.word(child(key, "claims.agent"), issuer.Claims.Agent)
		}
		if account := issuer.Claims.ServiceAccount; (account.Claim == "") != (account.Value == "") {
			v.fail(child(key, "claims.service_account"), "needs both claim and value")
		}
		v.issuer(key, issuer)
		v.words(child(key, "people_clients"), issuer.PeopleClients)
		v.words(child(key, "algorithms"), issuer.Algorithms)
	}
}

func (v *validation) agents(agents map[string]Agent) {
	for _, id := range sorted(agents) {
		key := child("agents", id)
		v.word(key, id)
		v.words(child(key, "roles"), agents[id].Roles)
		v.dpop(child(key, "dpop"), agents[id].DPoP)
	}
}

func (v *validation) policies(globs []string) {
	if len(globs) == 0 {
		v.fail("policies", "none is configured, so that every call would be denied; add a glob such as \"policy/*.cedar\"")
	}
	v.globs("policies", globs)
}

func (v *validation) globs(key string, globs []string) {
	for i, glob := range globs {
		if _, err := filepath.Match(glob, ""); err != nil || glob == "" {
			v.fail(item(key, i), "%q is not a glob of files", glob)
		}
	}
}

func (v *validation) domains(domains map[string]Domain) {
	for _, name := range sorted(domains) {
		key, d := child("domains", name), domains[name]
		v.name(key, name)
		v.positive(child(key, "retention"), d.Retention)
		v.positive(child(key, "payload_retention"), d.PayloadRetention)
		if d.PayloadRetention.Duration > d.Retention.Duration {
			v.fail(child(key, "payload_retention"), "%v is longer than retention (%v); payloads go with their calls at the latest", d.PayloadRetention, d.Retention)
		}
		v.words(child(key, "readers"), d.Readers)
		for i, pattern := range d.Redact {
			if _, err := redact.ParsePattern(pattern); err != nil {
				v.fail(item(child(key, "redact"), i), "%v", err)
			}
		}
		if !slices.Contains([]redact.Secrets{redact.RedactSecrets, redact.FlagSecrets, redact.KeepSecrets}, d.Secrets) {
			v.fail(child(key, "secrets"), "%q is none of redact, flag and off", d.Secrets)
		}
		if d.Partitions < 1 || d.Partitions > MaxPartitions {
			v.fail(child(key, "partitions"), "must be 1 to %d; it cannot be changed once the topics are there", MaxPartitions)
		}
		if own, configured := domains[reserved]; configured && d.Retention.Duration > own.Retention.Duration {
			v.fail(child("domains", child(reserved, "retention")), "%v is shorter than that of %s (%v): the checkpoints and keys that prove a domain live as long as it", own.Retention, name, d.Retention)
		}
	}
}

func (v *validation) holds(h Holds) {
	v.positive("holds.wait", h.Wait)
	v.positive("holds.expires", h.Expires)
	v.atLeastOne("holds.max_open", h.MaxOpen)
}

func (v *validation) limits(l Limits) {
	if l.CallsPerAgent.Count < 1 || l.CallsPerAgent.Per <= 0 {
		v.fail("limits.calls_per_agent", "must be at least one, such as \"50/s\"")
	}
	for name, c := range map[string]CallLimit{"principal": l.Calls.Principal, "agent": l.Calls.Agent, "tool": l.Calls.Tool, "tenant": l.Calls.Tenant} {
		if c.Concurrent < 0 || c.Rate.Count < 1 && c.Rate.Per > 0 {
			v.fail("limits.calls."+name, "must be at least one; zero does not mean unlimited, leave it out")
		}
	}
	if l.Body < 1 {
		v.fail("limits.body", "must be at least one byte, such as \"4MiB\"")
	}
	if l.Answer < 1 {
		v.fail("limits.answer", "must be at least one byte, such as \"16MiB\"")
	}
	v.atLeastOne("limits.viewers", l.Viewers)
	v.positive("limits.token_lifetime", l.TokenLifetime)
	v.positive("limits.clock_skew", l.ClockSkew)
	if l.ClockSkew.Duration > maxSkew {
		v.fail("limits.clock_skew", "%v is too much; %v at most, and mend the clocks", l.ClockSkew, Duration{maxSkew})
	}
}

func (v *validation) positive(key string, d Duration) {
	if d.Duration <= 0 {
		v.fail(key, "must be longer than zero; zero does not mean unlimited")
	}
}

func (v *validation) atLeastOne(key string, n int) {
	if n < 1 {
		v.fail(key, "must be at least 1; zero does not mean unlimited")
	}
}

// name checks what becomes part of a topic's or a tool's name.
func (v *validation) name(key, name string) {
	ok := name != "" && len(name) <= maxName
	for _, r := range name {
		ok = ok && (r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z')
	}
	if !ok {
		v.fail(key, "%q is not a name; use 1 to %d of a-z, 0-9 and -", name, maxName)
	}
}

func (v *validation) unreserved(key, name string) {
	if name == reserved {
		v.fail(key, "%q is the broker's own name; choose another", name)
	}
}

// word checks an identifier that others chose: a role, a claim, a client id.
func (v *validation) word(key, word string) {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd }
	if word == "" || len(word) > 256 || strings.ContainsFunc(word, bad) {
		v.fail(key, "%q is not an identifier; it must have 1 to 256 bytes and no spaces", word)
	}
}

func (v *validation) words(key string, words []string) {
	for i, word := range words {
		v.word(item(key, i), word)
	}
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
