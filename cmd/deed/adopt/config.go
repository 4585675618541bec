package adopt

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Files that are written.
const (
	configName = "deed.yaml"
	policyName = "policy/adopted.cedar"
	secretsDir = "secrets"
	stateName  = "adopted.json"
	backupDir  = "before"

	domain = "desktop"
)

// config is the text of deed.yaml. JSON's strings and lists are YAML's, too.
func (p *Plan) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by deed adopt. It is yours to change; deed config check tells whether it is right.
listen: %s
url: %s
tenant: %s
data: %s
issuers:
  - url: %s
    people_clients: [deed-cli, deed-console]
policies: [policy/*.cedar]
domains:
  %s: { retention: 1y, payload_retention: 30d, readers: [lead, auditor] }
`, quoted(strings.TrimPrefix(strings.TrimPrefix(p.options.URL, "http://"), "https://")), quoted(p.options.URL), "desktop", quoted(p.options.Data), quoted(p.options.Issuer), domain)
	if p.options.Demo {
		b.WriteString("agents:\n  copilot: { roles: [assistant], owner: me, purpose: the copilots on this desktop }\n")
	}
	b.WriteString("upstreams:\n")
	for _, u := range p.Upstreams {
		p.upstreamConfig(&b, u)
	}
	return b.String()
}

func (p *Plan) upstreamConfig(b *strings.Builder, u Upstream) {
	fmt.Fprintf(b, "  %s: # of %s\n    domain: %s\n", u.Name, strings.Join(u.Clients, ", "), domain)
	if u.url != "" {
		fmt.Fprintf(b, "    url: %s\n", quoted(u.url))
		if u.sse {
			b.WriteString("    transport: sse\n")
		}
		p.headers(b, u)
		return
	}
	fmt.Fprintf(b, "    command: %s\n", list(p.command(u)))
	if u.dir != "" {
		fmt.Fprintf(b, "    dir: %s\n", quoted(u.dir))
	}
	var plain []string
	for _, name := range slices.Sorted(maps.Keys(u.env)) {
		if u.secretFiles[name] == "" {
			plain = append(plain, quoted(name)+": "+quoted(u.env[name]))
		}
	}
	if len(plain) > 0 {
		fmt.Fprintf(b, "    env: { %s }\n", strings.Join(plain, ", "))
	}
}

// command starts a server, through `deed run` where it needs secrets: the broker does not
// have them, and they are in no environment but the server's own.
func (p *Plan) command(u Upstream) []string {
	if len(u.Secrets) == 0 {
		return u.command
	}
	all := []string{p.options.Deed, "run"}
	for _, name := range u.Secrets {
		all = append(all, "--secret", name+"="+p.path(secretsDir, u.secretFiles[name]))
	}
	return append(append(all, "--"), u.command...)
}

func (p *Plan) headers(b *strings.Builder, u Upstream) {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(u.headers)) {
		file := u.secretFiles[name]
		switch {
		case strings.EqualFold(name, "Authorization"):
			fmt.Fprintf(b, "    auth: { secret: %s%s }\n", p.reference(file), p.scheme(u, name))
		case file != "":
			all = append(all, quoted(name)+": "+p.reference(file))
		default:
			all = append(all, quoted(name)+": "+quoted(u.headers[name]))
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(b, "    headers: { %s }\n", strings.Join(all, ", "))
	}
}

// scheme keeps an Authorization that is no bearer token as it is; that of one is the broker's to write.
func (p *Plan) scheme(u Upstream, name string) string {
	scheme, token, ok := strings.Cut(u.headers[name], " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		p.secrets[u.secretFiles[name]] = token
		return ""
	}
	return ", header: Authorization"
}

func (p *Plan) reference(file string) string {
	return quoted("file://" + filepath.ToSlash(p.path(secretsDir, file)))
}

func quoted(text string) string {
	raw, _ := json.Marshal(text) // a string always marshals
	return string(raw)
}

func list(texts []string) string {
	var all []string
	for _, t := range texts {
		all = append(all, quoted(t))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// policy is what holds at first: what was possible before, and what destroys waits for a look.
func (p *Plan) policy() string {
	var names []string
	for _, u := range p.Upstreams {
		names = append(names, fmt.Sprintf("Action::%q", u.Name))
	}
	return `// Written by deed adopt, to start from. Whatever no permit names is denied.

// What your copilots could do before: now with a name and a record.
@id("as-before")
permit (principal, action in [` + strings.Join(names, ", ") + `], resource);

// A tool that says of itself that it destroys waits until you have looked, in the console or by deed approve.
// (A tool that says nothing of itself does not wait; name it here if it should.)
@id("destruction-waits") @approvers("lead") @expires("1h") @reason("This may destroy something: have a look first.")
forbid (principal, action in [` + strings.Join(names, ", ") + `], resource)
when { context.tool.destructive && !context.tool.readOnly } unless { context.approvals.count >= 1 };

// Another one, for a tool of yours:
// @id("not-that") @reason("Not from a copilot.")
// forbid (principal, action == Action::"NAME.TOOL", resource);

// What you do yourself. No agent can: its token names it.
@id("leads-decide")
permit (principal in Role::"lead", action in [Action::"approve", Action::"grant", Action::"read", Action::"review", Action::"revoke"], resource);

@id("own-calls")
permit (principal, action == Action::"read", resource is Call) when { resource.principal == principal };
`
}
