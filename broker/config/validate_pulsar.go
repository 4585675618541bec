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
		v.webURL("log.pulsar.admin", p.Admin)
	}
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

// pulsarRole checks a role of Pulsar's. Its admin API cannot name one with a slash.
func (v *validation) pulsarRole(key, role string) {
	before := len(v.problems)
	v.word(key, role)
	if len(v.problems) == before && strings.ContainsAny(role, "/%?#*") {
		v.fail(key, "%q has a character that Pulsar's admin API cannot name or takes for a wildcard; map it to another role", role)
	}
}
