package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Cedar takes a test like context.input has amuont for what it is, always false,
// and then skips whatever it guards: a misspelt guard would switch a policy off in
// silence. What follows makes that a finding.

// checkGuards finds the uses of has in r that can never be true for the actions r is about.
func (c *compilation) checkGuards(r *rule, actions []string) Findings {
	var found Findings
	for _, g := range guardsOf(r.policy) {
		if f, ok := c.checkGuard(r, g, actions); !ok {
			found = append(found, f)
		}
	}
	return found
}

func (c *compilation) checkGuard(r *rule, g guard, actions []string) (Finding, bool) {
	name := g.path[len(g.path)-1]
	needles := []string{" " + name, name}
	if !g.inContext {
		return r.finding(Fatal, fmt.Sprintf("nothing has the attribute `%s`", name), suggest(name, entityAttributes()), needles...),
			slices.Contains(entityAttributes(), name)
	}
	somewhere := false
	var unread []string
	var why string
	for _, a := range actions {
		there, reason := contextOf(a, c.shapes[a]).lookup(g.path)
		somewhere = somewhere || there
		if reason != "" {
			unread, why = append(unread, a), reason
		}
	}
	full := "context." + strings.Join(g.path, ".")
	if len(unread) > 0 {
		f := r.finding(Fatal, fmt.Sprintf("`%s` is never there for policies of %s", full, list(unread)), unreadable(why), needles...)
		f.Tools = unread
		return f, false
	}
	if somewhere {
		return Finding{}, true
	}
	// A tool that is yet to come may have what no tool of a group has now.
	severity := Fatal
	if g.path[0] == "input" && !exact(r.policy) {
		severity = Warning
	}
	f := r.finding(severity, fmt.Sprintf("nothing has `%s` in %s", full, list(actions)), c.missing(name, actions), needles...)
	if !slices.ContainsFunc(actions, ofPeople) {
		f.Tools = actions
	}
	return f, false
}

// suggest is the hint for a misspelt name.
func suggest(name string, known []string) string {
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return ""
}

func entityAttributes() []string {
	return []string{"id", "registered", "name", "principal", "actor", "agents", "tool", "approvers"}
}

// contextOf is the context of an action: a tool's if it has an input, else one of people's.
func contextOf(action string, input *shape) *shape {
	if input != nil {
		return contextShape(input)
	}
	all := contextShape(nil)
	of := map[string]field{"now": all.fields["now"], "token": all.fields["token"]}
	if action == ActionRead {
		of["tier"] = field{shape: &shape{}}
	}
	return &shape{kind: recordKind, fields: of}
}

// contextShape is the structure of a tool's context, for looking names up.
func contextShape(input *shape) *shape {
	record := func(names ...string) field {
		fields := map[string]field{}
		for _, n := range names {
			fields[n] = field{shape: &shape{}}
		}
		return field{shape: &shape{kind: recordKind, fields: fields}}
	}
	context := record("text", "now").shape
	context.fields["approvals"] = record("count", "roles")
	context.fields["chain"] = record("user", "actor", "agents", "depth")
	context.fields["tool"] = record("name", "readOnly", "destructive", "idempotent", "openWorld")
	context.fields["token"] = record("scopes", "acr", "expires")
	context.fields["input"] = field{shape: input}
	return context
}

// lookup follows the names of attributes; why is set if one of them is there and has no type.
func (s *shape) lookup(path []string) (there bool, why string) {
	for _, name := range path {
		if s == nil {
			return false, ""
		}
		if why := s.untyped[name]; why != "" {
			return false, why
		}
		s = s.fields[name].shape
	}
	return s != nil, ""
}
