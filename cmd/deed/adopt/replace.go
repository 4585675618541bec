package adopt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// operation is one of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// replace is a file with `deed stdio` in the place of servers. Members that say nothing of how the
// server is reached stay, as does every other byte of the file.
func (p *Plan) replace(s *source, all []taken) ([]byte, error) {
	value, err := s.parse() // a Clone loses trailing commas
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		indent := indentOf(value.Find(t.at))
		for _, op := range p.operations(s, value, t) {
			patch, err := json.Marshal([]operation{op})
			if err != nil {
				return nil, err
			}
			if err := value.Patch(spaced(patch)); err != nil {
				return nil, fmt.Errorf("%s: %w", t.at, err)
			}
		}
		align(value.Find(t.at), indent)
	}
	text := value.Pack()
	if bytes.HasPrefix(s.text, byteOrderMark) {
		text = append(bytes.Clone(byteOrderMark), text...)
	}
	return text, nil
}

// indentOf is the space before the first member of an object.
func indentOf(entry *hujson.Value) hujson.Extra {
	object, ok := entry.Value.(*hujson.Object)
	if !ok || len(object.Members) == 0 {
		return nil
	}
	before := object.Members[0].Name.BeforeExtra
	if at := bytes.LastIndexByte(before, '\n'); at >= 0 {
		return bytes.Clone(before[at:])
	}
	return hujson.Extra(" ")
}

// align puts new members of an object below each other as the others are.
func align(entry *hujson.Value, indent hujson.Extra) {
	object, ok := entry.Value.(*hujson.Object)
	if !ok {
		return
	}
	for i := range object.Members {
		m := &object.Members[i]
		if len(m.Name.BeforeExtra) == 0 {
			m.Name.BeforeExtra = bytes.Clone(indent)
		}
		if len(m.Value.BeforeExtra) == 0 {
			m.Value.BeforeExtra = hujson.Extra(" ")
		}
	}
}

// spaced writes lists as people do: `", "` between their items.
func spaced(patch []byte) []byte {
	v, err := hujson.Parse(patch)
	if err != nil {
		return patch // what encoding/json wrote is JSON
	}
	for part := range v.All() {
		if list, ok := part.Value.(*hujson.Array); ok {
			for i := range list.Elements {
				if i > 0 {
					list.Elements[i].BeforeExtra = hujson.Extra(" ")
				}
			}
		}
	}
	return v.Pack()
}

func (p *Plan) operations(s *source, v hujson.Value, t taken) []operation {
	command, args := p.options.Deed, p.arguments(t.upstream)
	var all []operation
	there := func(member string) bool { return v.Find(t.at+"/"+member) != nil }
	set := func(member string, value any) {
		op := "add"
		if there(member) {
			op = "replace"
		}
		all = append(all, operation{op, t.at + "/" + member, value})
	}
	if t.nested {
		set("command/path", command)
		set("command/args", args)
		if there("command/env") || len(p.options.Env) > 0 {
			set("command/env", p.env())
		}
		return all
	}
	set("command", command)
	set("args", args)
	if there("type") {
		set("type", "stdio")
	}
	if len(p.options.Env) > 0 {
		set("env", p.env())
	} else if there("env") {
		all = append(all, operation{Op: "remove", Path: t.at + "/env"})
	}
	for _, member := range append([]string{"cwd", "headers"}, append(clientOf(s.Client).streams, clientOf(s.Client).events...)...) {
		if there(member) {
			all = append(all, operation{Op: "remove", Path: t.at + "/" + member})
		}
	}
	return all
}

func (p *Plan) env() map[string]string {
	if p.options.Env == nil {
		return map[string]string{}
	}
	return p.options.Env
}

func (p *Plan) arguments(upstream string) []string {
	return append([]string{"stdio", "--url", p.options.URL, "--upstream", upstream}, p.options.Args...)
}

// restored is a file that was changed since with the entries in it as they were; what no longer
// goes through Deed stays.
func restored(now []byte, entries map[string]json.RawMessage) ([]byte, error) {
	value, err := hujson.Parse(withoutMark(now))
	if err != nil {
		return nil, err
	}
	for at, raw := range entries {
		found := value.Find(at)
		if found == nil || !strings.Contains(found.String(), "stdio") || !strings.Contains(found.String(), "--upstream") {
			continue
		}
		patch, err := json.Marshal([]operation{{"replace", at, raw}})
		if err != nil {
			return nil, err
		}
		if err := value.Patch(patch); err != nil {
			return nil, err
		}
	}
	text := value.Pack()
	if bytes.HasPrefix(now, byteOrderMark) {
		text = append(bytes.Clone(byteOrderMark), text...)
	}
	return text, nil
}
