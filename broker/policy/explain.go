package policy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	notFound = regexp.MustCompile("^attribute `([^`]*)` (not found in context|on entity types? .* not found)$")
	unsafe   = regexp.MustCompile("^unable to guarantee safety of access to optional attribute `([^`]*)`(.*)$")
)

// explain turns a message of the validator about r into a finding. The actions
// are those that it came up for; none if it is about the scope alone.
func (c *compilation) explain(r *rule, message string, actions []string) Finding {
	tools := actions
	if ofPolicy(message) || slices.ContainsFunc(actions, ofPeople) {
		tools = nil
	}
	var f Finding
	if m := notFound.FindStringSubmatch(message); m != nil {
		hint := "say which type it is first, as in: resource is Call && …"
		if m[2] == "not found in context" {
			hint = c.missing(m[1], actions)
			message += " of " + list(actions)
		}
		f = r.finding(Fatal, message, hint, "."+m[1], m[1])
	} else if m := unsafe.FindStringSubmatch(message); m != nil {
		hint := fmt.Sprintf("it is optional: say %s && … before using it", has(m[1], m[2] == ""))
		f = r.finding(Fatal, message, hint, "."+lastStep(m[1]), lastStep(m[1]))
	} else {
		f = r.finding(Fatal, message, hintFor(message))
	}
	f.Tools = tools
	return f
}

// list names up to three of names.
func list(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func lastStep(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// has is the guard of an optional attribute.
func has(path string, inContext bool) string {
	owner, name := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		owner, name = path[:i], path[i+1:]
	}
	switch {
	case !inContext:
		return "… has " + name
	case owner == "":
		return "context has " + name
	default:
		return "context." + owner + " has " + name
	}
}

// missing says why an attribute is not in the context of actions.
func (c *compilation) missing(name string, actions []string) string {
	known := argumentNames(contextShape(nil))
	if slices.Contains(known, name) && slices.ContainsFunc(actions, ofPeople) {
		return `only tools have it: write action in Action::"call"`
	}
	for _, a := range actions {
		if why := untyped(c.shapes[a], name); why != "" {
			return unreadable(why)
		}
		known = append(known, argumentNames(c.shapes[a])...)
	}
	return suggest(name, known)
}

func unreadable(why string) string {
	return fmt.Sprintf("the tool has this argument, but policies cannot read it: %s; match context.text instead", why)
}

func untyped(s *shape, name string) string {
	if s == nil {
		return ""
	}
	if why := s.untyped[name]; why != "" {
		return why
	}
	for _, n := range slices.Sorted(maps.Keys(s.fields)) {
		if why := untyped(s.fields[n].shape, name); why != "" {
			return why
		}
	}
	return untyped(s.element, name)
}

func argumentNames(s *shape) []string {
	if s == nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.fields))
	for _, n := range names {
		names = append(names, argumentNames(s.fields[n].shape)...)
	}
	return append(names, argumentNames(s.element)...)
}

func hintFor(message string) string {
	switch {
	case strings.HasPrefix(message, "unable to find an applicable action"):
		return "tools are called by User or Agent on an Upstream; people approve a Call, read a Call, Agent, Tool or Domain, revoke an Agent or User, review a Tool or Call"
	case strings.Contains(message, "expected datetime, or duration, or Long but saw decimal"):
		return `decimals are compared by methods: context.input.x.greaterThan(decimal("100.0"))`
	case strings.HasPrefix(message, "unrecognized entity type"):
		return "there are User, Agent, Role, Upstream, Domain, Call and Tool"
	default:
		return ""
	}
}

// nearest is the known word that word is most likely meant to be; empty if none is close.
func nearest(word string, known []string) string {
	best, distance := "", max(1, len(word)/4)
	for _, k := range known {
		if d := edits(word, k); d <= distance && (best == "" || d < distance) {
			best, distance = k, d
		}
	}
	return best
}

// edits is the number of insertions, deletions, replacements and swaps of neighbours between a and b.
func edits(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			same := 1
			if a[i] == b[j] {
				same = 0
			}
			row[j+1] = min(last[j]+same, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
