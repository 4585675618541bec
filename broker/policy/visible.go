package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// maxVisible bounds how many callers' views a set remembers.
const maxVisible = 1024

// Visible returns the tools, sorted, that the chain with these scopes could call
// with some arguments, at some time, at worst after approvals: what tools/list
// shows. A tool that is not among them is denied whatever its arguments are; one
// that is may still be denied.
func (s *Set) Visible(links []Link, scopes []string) []string {
	if checkLinks(links) != nil {
		return nil
	}
	key := viewKey(links, scopes)
	s.visible.Lock()
	tools, ok := s.seen[key]
	s.visible.Unlock()
	if ok {
		return slices.Clone(tools)
	}
	for _, name := range slices.Sorted(maps.Keys(s.tools)) {
		if s.tools[name].open(links, scopes) {
			tools = append(tools, name)
		}
	}
	s.visible.Lock()
	defer s.visible.Unlock()
	if len(s.seen) >= maxVisible {
		clear(s.seen)
	}
	s.seen[key] = tools
	return slices.Clone(tools)
}

// viewKey tells apart all that [Set.Visible] depends on. Lengths go first, so that no id can pass for another.
func viewKey(links []Link, scopes []string) string {
	var b strings.Builder
	part := func(words ...string) {
		for _, w := range words {
			b.WriteString(strconv.Itoa(len(w)))
			b.WriteByte(':')
			b.WriteString(w)
		}
		b.WriteByte(';')
	}
	for _, l := range links {
		b.WriteByte('0' + byte(l.Kind))
		part(l.ID)
		part(l.Roles...)
	}
	part(scopes...)
	return b.String()
}

// open reports whether no link is denied for certain.
func (p *plan) open(links []Link, scopes []string) bool {
	context := cedar.NewRecord(cedar.RecordMap{
		"input":     unknown("input"),
		"text":      unknown("text"),
		"approvals": unknown("approvals"),
		"now":       unknown("now"),
		"recent":    unknown("recent"),
		"token": cedar.NewRecord(cedar.RecordMap{
			"scopes": stringSet(scopes), "acr": unknown("acr"), "expires": unknown("expires"),
		}),
		"chain": chainRecord(links),
		"tool":  p.annotations,
	})
	all := p.known(links)
	for _, party := range all.parties {
		req := cedar.Request{Principal: party.UID, Action: p.action, Resource: p.resource, Context: context}
		if !p.openTo(all, req) {
			return false
		}
	}
	return true
}

func (p *plan) openTo(who *entities, req cedar.Request) bool {
	permitted := false
	for _, r := range p.rules {
		v := foresee(r.policy, who, req)
		if r.policy.Effect() == cedar.Permit {
			permitted = permitted || v != never
		} else if v == always {
			return false
		}
	}
	return permitted
}
