package config

import (
	"net/url"
	"slices"
	"strings"
)

// MaxPartitions bounds domains.*.partitions: each one is a Merkle log with checkpoints of its own.
const MaxPartitions = 64

func (v *validation) pulsar(p *Pulsar, domains map[string]Domain) {
	v.serviceURL("log.pulsar.url", p.URL)
	if p.Admin != "" {
		v.webURLs("log.pulsar.admin", p.Admin)
	}
	v.pulsarAuth(p.Auth)
	v.pulsarRole("log.pulsar.role", p.Role)
	for i, role := range p.Admins {
		v.pulsarRole(item("log.pulsar.admins", i), role)
	}
	v.pulsarReaders(p, domains)
	if p.Backlog < 1 {
		v.fail("log.pulsar.backlog", "must be at least one byte, such as \"10GiB\"")
	}
}

func (v *validation) pulsarReaders(p *Pulsar, domains map[string]Domain) {
	read := map[string]string{} // where a reader is named
	for _, name := range sorted(domains) {
		for i, reader := range domains[name].Readers {
			read[reader] = item(child(child("domains", name), "readers"), i)
		}
	}
	for _, reader := range sorted(p.Readers) {
		key := child("log.pulsar.readers", reader)
		if read[reader] == "" {
			v.fail(key, "%q is a reader of no domain; remove it, or add it to a domain's readers", reader)
		}
		read[reader] = key
	}
	for _, reader := range sorted(read) {
		for _, role := range p.RolesOf(reader) {
			v.pulsarRole(read[reader], role)
		}
		if slices.Contains(p.RolesOf(reader), p.Role) {
			v.fail(read[reader], "%q is the brokers' own role in Pulsar: whoever had it could write; map the reader to another by log.pulsar.readers", p.Role)
		}
	}
}

// serviceURL checks pulsar://host:port[,host:port…] or pulsar+ssl://.
func (v *validation) serviceURL(key, text string) {
	scheme, hosts, ok := strings.Cut(text, "://")
	switch {
	case text == "":
		v.fail(key, "is needed; write one like \"pulsar+ssl://pulsar.example:6651\"")
		return
	case !ok || hosts == "" || (scheme != "pulsar" && scheme != "pulsar+ssl"):
		v.fail(key, "is not pulsar://host:port or pulsar+ssl://host:port")
		return
	}
	for host := range strings.SplitSeq(hosts, ",") {
		u, err := url.Parse(scheme + "://" + host)
		switch {
		case err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			v.fail(key, "is not pulsar://host:port or pulsar+ssl://host:port")
			return
		case scheme == "pulsar" && !isLoopback(u.Hostname()):
			v.fail(key, "is in the clear to another machine; use pulsar+ssl")
			return
		}
	}
}

// webURLs checks https://host:port[,host:port…].
func (v *validation) webURLs(key, text string) {
	scheme, hosts, _ := strings.Cut(text, "://")
	for host := range strings.SplitSeq(hosts, ",") {
		before := len(v.problems)
		if v.webURL(key, scheme+"://"+host); len(v.problems) > before {
			return
		}
	}
}

// pulsarRole checks a role of Pulsar's. Its admin API cannot name one with a slash.
func (v *validation) pulsarRole(key, role string) {
	before := len(v.problems)
	v.word(key, role)
	if len(v.problems) == before && strings.ContainsAny(role, "/%?#*") {
		v.fail(key, "%q has a character that Pulsar's admin API cannot name or takes for a wildcard; map it to another role", role)
	}
}

func (v *validation) pulsarAuth(a PulsarAuth) {
	const key = "log.pulsar.auth"
	ways := 0
	for _, used := range []bool{a.TokenFile != "", a.OAuth2 != nil, a.CertFile != "" || a.KeyFile != ""} {
		if used {
			ways++
		}
	}
	if ways > 1 {
		v.fail(key, "has more than one way; keep one of token_file, oauth2 and cert_file with key_file")
	}
	if (a.CertFile == "") != (a.KeyFile == "") {
		v.fail(key, "needs both cert_file and key_file")
	}
	if a.OAuth2 != nil {
		v.pulsarOAuth2(child(key, "oauth2"), a.OAuth2)
	}
}

func (v *validation) pulsarOAuth2(key string, o *PulsarOAuth2) {
	switch {
	case (o.Issuer == "") == (o.TokenURL == ""):
		v.fail(key, "needs either issuer or token_url")
	case o.Issuer != "":
		v.webURL(child(key, "issuer"), o.Issuer)
	default:
		v.webURL(child(key, "token_url"), o.TokenURL)
	}
	v.word(child(key, "client_id"), o.ClientID)
	if o.Secret.IsZero() {
		v.fail(child(key, "secret"), `is needed; write where it is: "env://NAME" or "file:///absolute/path"`)
	}
}
