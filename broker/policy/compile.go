package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// DefaultHold is how long a call is held when no policy that holds it says so by @expires.
const DefaultHold = 15 * time.Minute

// Options tune [Compile]. The zero value is good.
type Options struct {
	// Roles and Domains are those that configuration knows of. If there are any,
	// a policy that names another one gets a warning.
	Roles, Domains []string
	// Upstreams are the configured upstreams. If not nil, a policy about any
	// other upstream is a fatal finding rather than a warning.
	Upstreams []string
	// DefaultHold replaces the constant of that name; 0 keeps it.
	DefaultHold time.Duration
	// MayQuarantine says which tools may be left out of the set when a policy
	// does not fit them: those whose definition is new. Without it, a policy
	// that does not fit a tool is a fatal finding.
	MayQuarantine func(tool string) bool
}

// Compile parses files and type-checks every policy against the input schemas of
// tools. The set is nil exactly if a finding is fatal ([Findings.Err]): the set in
// force then stays in force. The slices may be reused afterwards.
func Compile(files []File, tools []Tool, o Options) (*Set, Findings) {
	all, found := parse(files)
	found = append(found, checkTools(tools)...)
	if o.DefaultHold < 0 {
		found = append(found, Finding{Severity: Fatal, Message: "the default time limit of holds is negative"})
	}
	counters, clashes := collectCounters(all)
	found = append(found, clashes...)
	c := compilation{Options: o, files: files, rules: all, counters: counters}
	if found.Err() == nil {
		tools = slices.SortedFunc(slices.Values(tools), func(a, b Tool) int { return strings.Compare(a.ID(), b.ID()) })
		found = append(found, c.check(tools)...)
	}
	found.sort()
	if found.Err() != nil {
		return nil, found
	}
	return c.set(), found
}

// compilation is a Compile on its way.
type compilation struct {
	Options
	files       []File
	rules       rules
	counters    []Counter
	tools       []Tool            // that are in the set
	shapes      map[string]*shape // by tool id
	quarantined []string
	checker     *checker
}

// check type-checks everything, leaving out tools that policies do not fit until the rest fits.
func (c *compilation) check(tools []Tool) Findings {
	var kept Findings
	for {
		found := c.round(tools)
		bad := c.confined(found)
		if len(bad) == 0 {
			return append(found, kept...)
		}
		for _, f := range found {
			if f.Severity == Fatal {
				f.Severity = Quarantine
				kept = append(kept, f)
			}
		}
		c.quarantined = append(c.quarantined, bad...)
		slices.Sort(c.quarantined)
		tools = slices.DeleteFunc(slices.Clone(tools), func(t Tool) bool { return slices.Contains(bad, t.ID()) })
	}
}

// confined returns the tools of the fatal findings if all of these concern only tools that may be quarantined.
func (c *compilation) confined(found Findings) []string {
	var bad []string
	for _, f := range found {
		if f.Severity != Fatal {
			continue
		}
		if c.MayQuarantine == nil || len(f.Tools) == 0 {
			return nil
		}
		for _, t := range f.Tools {
			if !c.MayQuarantine(t) {
				return nil
			}
			bad = append(bad, t)
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}

func (c *compilation) round(tools []Tool) Findings {
	var found Findings
	c.tools, c.shapes = tools, map[string]*shape{}
	for _, t := range tools {
		s, err := shapeOf(t.InputSchema)
		if err != nil {
			s = &shape{kind: recordKind}
			found = append(found, Finding{Severity: Fatal, Message: err.Error(), Tools: []string{t.ID()}})
		}
		c.shapes[t.ID()] = s
	}
	phantoms, unknown := c.unknownActions()
	found = append(found, unknown...)
	var err error
	if c.checker, err = newChecker(tools, c.shapes, phantoms, c.counters); err != nil {
		return append(found, Finding{Severity: Fatal, Message: err.Error()})
	}
	found = append(found, c.checkCounters()...)
	for _, r := range c.rules {
		found = append(found, c.checkRule(r)...)
		found = append(found, c.checkNames(r)...)
		found = append(found, c.checkTiers(r)...)
	}
	return found
}

// checkRule type-checks one policy, and tells which tools it does not fit.
func (c *compilation) checkRule(r *rule) Findings {
	about := c.scope(r)
	if len(about) == 0 {
		return nil // it is about tools never seen
	}
	found := c.checkGuards(r, about)
	if len(c.checker.whole(r.policy)) == 0 {
		return found
	}
	actions := map[string][]string{} // by message
	for _, m := range c.checker.bare(r.policy) {
		actions[m] = nil
	}
	if len(actions) == 0 {
		for _, action := range about {
			for _, m := range c.checker.one(r.policy, actionUID(action)) {
				m = strings.TrimSuffix(m, " in context for "+actionUID(action).String())
				m = strings.Replace(m, " in context for "+actionUID(action).String()+" not found", " not found in context", 1)
				actions[m] = append(actions[m], action)
			}
		}
	}
	for _, message := range slices.Sorted(maps.Keys(actions)) {
		found = append(found, c.explain(r, message, actions[message]))
	}
	return found
}

// scope returns the actions that r applies to: tools, then those of people.
func (c *compilation) scope(r *rule) []string {
	var actions []string
	for _, t := range c.tools {
		if c.applies(r, t) {
			actions = append(actions, t.ID())
		}
	}
	for _, action := range slices.Sorted(maps.Keys(peopleActions())) {
		if appliesTo(r.policy, actionUID(action), nil) {
			actions = append(actions, action)
		}
	}
	return actions
}

func (c *compilation) applies(r *rule, t Tool) bool {
	return appliesTo(r.policy, actionUID(t.ID()), []cedar.EntityUID{actionUID(t.Upstream), actionUID(callGroup)})
}

// unknownActions finds the actions that policies name and that are not there.
// Those that may yet appear are returned too.
func (c *compilation) unknownActions() ([]cedar.EntityUID, Findings) {
	known := map[string]bool{callGroup: true}
	for action := range peopleActions() {
		known[action] = true
	}
	for _, t := range c.tools {
		known[t.Upstream], known[t.ID()] = true, true
	}
	var phantoms []cedar.EntityUID
	var found Findings
	for _, r := range c.rules {
		for _, e := range r.literals.entities {
			id := string(e.ID)
			if e.Type != "Action" || known[id] {
				continue
			}
			f := c.unknownAction(r, e, slices.Sorted(maps.Keys(known)))
			if f.Severity != Fatal {
				phantoms = append(phantoms, e)
			}
			found = append(found, f)
		}
	}
	return phantoms, found
}

func (c *compilation) unknownAction(r *rule, action cedar.EntityUID, known []string) Finding {
	id := string(action.ID)
	upstream, name, dotted := strings.Cut(id, ".")
	quoted := fmt.Sprintf("%q", id)
	var hint string
	if near := nearest(id, known); near != "" {
		hint = fmt.Sprintf("did you mean %s?", actionUID(near))
	}
	fatal := func(message string) Finding {
		return r.finding(Fatal, message, cmp.Or(hint, `write Action::"upstream" or Action::"upstream.tool"`), quoted)
	}
	switch {
	case !upstreamName.MatchString(upstream) || (dotted && name == ""):
		return fatal(fmt.Sprintf("there is no action %s", action))
	case c.Upstreams != nil && !slices.Contains(c.Upstreams, upstream):
		return fatal(fmt.Sprintf("there is no action %s, and no upstream %q", action, upstream))
	case slices.Contains(c.quarantined, id):
		return r.finding(Warning, fmt.Sprintf("%s is in quarantine", action), "", quoted)
	}
	return r.finding(Warning, fmt.Sprintf("%s has never been seen: what this policy says about it waits until it appears", action), hint, quoted)
}

// checkNames warns of roles, domains and upstreams that configuration does not know.
func (c *compilation) checkNames(r *rule) Findings {
	named := slices.Clone(r.literals.entities)
	for _, a := range r.approvers {
		named = append(named, uid("Role", a))
	}
	known := map[cedar.EntityType][]string{"Role": c.Roles, "Domain": c.Domains, "Upstream": c.Upstreams}
	var found Findings
	for i, e := range named {
		names, name := known[e.Type], string(e.ID)
		if len(names) == 0 || slices.Contains(names, name) || slices.Contains(named[:i], e) {
			continue
		}
		message := fmt.Sprintf("the configuration knows no %s %q", strings.ToLower(string(e.Type)), name)
		found = append(found, r.finding(Warning, message, suggest(name, names), name))
	}
	return found
}
