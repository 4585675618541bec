package adopt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// Options say what is adopted, and how Deed is reached.
type Options struct {
	Files  []File
	Dir    string   // where deed.yaml goes
	Data   string   // the broker's data directory
	Deed   string   // path of the deed binary
	URL    string   // of the broker
	Issuer string   // of tokens; a demo issuer's where Demo is set
	Demo   bool     // people and agents are those of the demo
	Args   []string // of deed stdio, for who calls

	// Env is what deed stdio needs of the environment that a client may not pass on.
	Env map[string]string
}

// Plan is what adopting changes. Nothing is changed until [Plan.Apply].
type Plan struct {
	Upstreams []Upstream `json:"upstreams"`
	Left      []Left     `json:"left"`    // servers that stay as they are
	Changes   []Change   `json:"changes"` // of clients' files
	Writes    []string   `json:"writes"`  // files of Deed's own

	options Options
	secrets map[string]string // by file name
	exposed []string          // secrets that stay where they are
	sources []*source
}

// Upstream is a server that goes behind the broker.
type Upstream struct {
	Name    string   `json:"name"`
	Clients []string `json:"clients"`
	Command []string `json:"command,omitempty"` // without what looks like a secret, as the next
	URL     string   `json:"url,omitempty"`
	Secrets []string `json:"secrets,omitempty"` // names of variables or headers that were moved into files
	Exposed []string `json:"exposed,omitempty"` // names of arguments that look like secrets, and stand in deed.yaml: nothing else can hold them

	entry
	secretFiles map[string]string // by variable or header
}

// Left is a server that stays as it is.
type Left struct {
	File
	Server string `json:"server"`
	Reason string `json:"reason"`
}

// Change is what becomes of a client's file. Secrets are not in the diff.
type Change struct {
	File
	Diff string `json:"diff"`

	source *source
	after  []byte
	taken  []taken
}

// taken is an entry and the upstream that takes its place.
type taken struct {
	entry
	upstream string
}

// NewPlan reads the clients' files and says what would be done.
func NewPlan(o Options) (*Plan, error) {
	p := &Plan{options: o, secrets: map[string]string{}, Upstreams: []Upstream{}, Left: []Left{}, Changes: []Change{}}
	for _, f := range o.Files {
		s, err := read(f)
		if err != nil {
			return nil, fmt.Errorf("read the configuration of %s: %w", clientOf(f.Client).title, err)
		}
		if s == nil || slices.ContainsFunc(p.sources, func(other *source) bool { return other.real == s.real }) {
			continue
		}
		p.sources = append(p.sources, s)
		if err := p.add(s); err != nil {
			return nil, err
		}
	}
	for i := range p.Upstreams {
		p.hide(&p.Upstreams[i])
	}
	for i := range p.Changes {
		p.Changes[i].Diff = p.redacted(diff.Diff(p.Changes[i].Path, p.Changes[i].source.text, p.Changes[i].Path, p.Changes[i].after))
	}
	if len(p.Upstreams) > 0 {
		p.Writes = []string{p.path(configName), p.path(policyName)}
		for name := range p.secrets {
			p.Writes = append(p.Writes, p.path(secretsDir, name))
		}
		slices.Sort(p.Writes)
	}
	return p, nil
}

func (p *Plan) path(parts ...string) string {
	return filepath.Join(append([]string{p.options.Dir}, parts...)...)
}

func (p *Plan) add(s *source) error {
	var all []taken
	for _, e := range s.entries {
		if e.left != "" {
			p.Left = append(p.Left, Left{s.File, e.name, e.left})
			continue
		}
		all = append(all, taken{e, p.upstream(s, e)})
	}
	if len(all) == 0 {
		return nil
	}
	after, err := p.replace(s, all)
	if err != nil {
		return fmt.Errorf("change %s: %w", s.Path, err)
	}
	p.Changes = append(p.Changes, Change{File: s.File, source: s, after: after, taken: all})
	return nil
}

// upstream is the name of the upstream for an entry. Entries that are alike share one.
func (p *Plan) upstream(s *source, e entry) string {
	plain := e
	plain.at, plain.name, plain.nested, plain.left = "", "", false, ""
	name := upstreamName(e.name)
	for n := 1; ; n++ {
		candidate := name
		if n > 1 {
			candidate = fmt.Sprintf("%s-%d", name[:min(len(name), 28)], n)
		}
		at := slices.IndexFunc(p.Upstreams, func(u Upstream) bool { return u.Name == candidate })
		if at < 0 {
			p.Upstreams = append(p.Upstreams, Upstream{Name: candidate, Clients: []string{s.Client}, entry: plain})
			return candidate
		}
		if u := &p.Upstreams[at]; reflect.DeepEqual(u.entry, plain) {
			if !slices.Contains(u.Clients, s.Client) {
				u.Clients = append(u.Clients, s.Client)
			}
			return candidate
		}
	}
}

// upstreamName is a server's name as an upstream can have it.
func upstreamName(name string) string {
	mapped := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	mapped = strings.Trim(mapped[:min(len(mapped), 32)], "-")
	if mapped = cmp.Or(mapped, "server"); mapped == "deed" {
		return "deed-server"
	}
	return mapped
}

// hide moves secrets out of an upstream.
func (p *Plan) hide(u *Upstream) {
	names, values := exposed(u.entry)
	u.Exposed, p.exposed = names, append(p.exposed, values...)
	u.URL = without(u.url, values)
	for _, word := range u.command {
		u.Command = append(u.Command, without(word, values))
	}
	u.secretFiles = map[string]string{}
	for _, from := range []map[string]string{u.env, u.headers} {
		for name, value := range from {
			if !isSecret(name, value) {
				continue
			}
			file := u.Name + "." + strings.Map(fileSafe, name)
			p.secrets[file] = value
			u.secretFiles[name] = file
			u.Secrets = append(u.Secrets, name)
		}
	}
	slices.Sort(u.Secrets)
}

func fileSafe(r rune) rune {
	if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' {
		return r
	}
	return '_'
}

// redacted is a diff without the secrets that it takes away.
func (p *Plan) redacted(diff []byte) string {
	all := slices.Concat(slices.Collect(maps.Values(p.secrets)), p.exposed)
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	for _, value := range all {
		quoted, _ := json.Marshal(value) // a string always marshals
		for _, text := range [][]byte{[]byte(value), quoted[1 : len(quoted)-1]} {
			diff = bytes.ReplaceAll(diff, text, []byte(hidden))
		}
	}
	return string(diff)
}
