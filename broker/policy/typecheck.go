package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// This file is all that touches Cedar's schemas and their validator, which are
// outside cedar-go's promise of compatibility.

// checker type-checks policies against the tools.
type checker struct {
	all  *resolved.Schema
	text string
}

// newChecker builds the schema of tools, whose shapes are by tool id. The
// phantoms are actions that policies name and that nothing provides yet.
func newChecker(tools []Tool, shapes map[string]*shape, phantoms []cedar.EntityUID, counters []Counter) (*checker, error) {
	described := describe(tools, shapes, counters)
	text, err := schema.NewSchemaFromAST(described).MarshalCedar()
	if err != nil {
		return nil, fmt.Errorf("print cedar schema: %w", err)
	}
	for _, p := range phantoms {
		if _, known := described.Actions[p.ID]; !known {
			described.Actions[p.ID] = ast.Action{}
		}
	}
	all, err := schema.NewSchemaFromAST(described).Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve cedar schema: %w", err)
	}
	return &checker{all: all, text: string(text)}, nil
}

// whole type-checks p for all that it applies to.
func (c *checker) whole(p *cedar.Policy) []string {
	return c.check((*xast.Policy)(p.AST()), c.all)
}

// bare checks p's scope alone.
func (c *checker) bare(p *cedar.Policy) []string {
	bare := *(*xast.Policy)(p.AST())
	bare.Conditions = nil
	return c.check(&bare, c.all)
}

// one type-checks p as far as it applies to action.
func (c *checker) one(p *cedar.Policy, action cedar.EntityUID) []string {
	masked := *c.all
	masked.Actions = make(map[types.EntityUID]resolved.Action, len(c.all.Actions))
	for id, a := range c.all.Actions {
		if id != action {
			a.AppliesTo = nil
		}
		masked.Actions[id] = a
	}
	return c.check(narrowed(p, action), &masked)
}

func (c *checker) check(p *xast.Policy, s *resolved.Schema) []string {
	err := validate.New(s, validate.WithStrict()).Policy("", p)
	if err == nil {
		return nil
	}
	var messages []string
	for _, e := range leaves(err) {
		messages = append(messages, e.Error())
	}
	slices.Sort(messages) // the validator goes by maps
	return slices.Compact(messages)
}

func leaves(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}

// ofPolicy reports whether a message of the validator is about a policy by itself, whatever the tool.
func ofPolicy(message string) bool {
	return slices.ContainsFunc([]string{
		"unrecognized ", "empty set literals", "extension constructors", "wrong number of arguments", "error during extension function",
	}, func(prefix string) bool { return strings.HasPrefix(message, prefix) })
}

func describe(tools []Tool, shapes map[string]*shape, counters []Counter) *ast.Schema {
	s := &ast.Schema{Entities: describeEntities(), Enums: describeTiers(), Actions: describePeople()}
	s.Actions[callGroup] = ast.Action{}
	for _, t := range tools {
		group := types.String(t.Upstream)
		s.Actions[group] = ast.Action{Parents: []ast.ParentRef{ast.ParentRefFromID(callGroup)}}
		s.Actions[types.String(t.ID())] = ast.Action{
			Parents: []ast.ParentRef{ast.ParentRefFromID(group)},
			AppliesTo: &ast.AppliesTo{
				Principals: []ast.EntityTypeRef{"User", "Agent"},
				Resources:  []ast.EntityTypeRef{"Upstream"},
				Context:    describeContext(shapes[t.ID()], counters),
			},
		}
	}
	return s
}

func describeEntities() ast.Entities {
	named := ast.RecordType{"id": required(ast.String())}
	agent := ast.RecordType{"id": required(ast.String()), "registered": required(ast.Bool())}
	return ast.Entities{
		"Role":     {},
		"User":     {ParentTypes: []ast.EntityTypeRef{"Role"}, Shape: named},
		"Agent":    {ParentTypes: []ast.EntityTypeRef{"Role"}, Shape: agent},
		"Domain":   {},
		"Upstream": {ParentTypes: []ast.EntityTypeRef{"Domain"}},
		"Tool":     {ParentTypes: []ast.EntityTypeRef{"Upstream"}, Shape: ast.RecordType{"name": required(ast.String())}},
		"Call": {ParentTypes: []ast.EntityTypeRef{"Upstream", "Domain"}, Shape: ast.RecordType{
			"principal": required(ast.EntityType("User")),
			"actor":     {Type: ast.EntityType("Agent"), Optional: true},
			"agents":    required(ast.Set(ast.EntityType("Agent"))),
			"tool":      required(ast.String()),
			"approvers": required(ast.Set(ast.String())),
		}},
	}
}

func describeTiers() ast.Enums {
	var tiers ast.Enum
	for _, t := range Tiers() {
		tiers.Values = append(tiers.Values, types.String(t))
	}
	return ast.Enums{tierType: tiers}
}

func describePeople() ast.Actions {
	actions := ast.Actions{}
	for action, resources := range peopleActions() {
		refs := make([]ast.EntityTypeRef, len(resources))
		for i, r := range resources {
			refs[i] = ast.EntityTypeRef(r)
		}
		context := ast.RecordType{"now": required(ast.Datetime()), "token": required(describeToken())}
		if action == ActionRead {
			context["tier"] = required(ast.EntityType(tierType))
		}
		actions[types.String(action)] = ast.Action{AppliesTo: &ast.AppliesTo{
			Principals: []ast.EntityTypeRef{"User"}, Resources: refs, Context: context,
		}}
	}
	return actions
}

func describeContext(input *shape, counters []Counter) ast.RecordType {
	context := ast.RecordType{
		"input": required(describeShape(input)),
		"text":  required(ast.String()),
		"approvals": required(ast.RecordType{
			"count": required(ast.Long()),
			"roles": required(ast.Set(ast.String())),
		}),
		"chain": required(ast.RecordType{
			"user":   {Type: ast.EntityType("User"), Optional: true},
			"actor":  {Type: ast.EntityType("Agent"), Optional: true},
			"agents": required(ast.Set(ast.EntityType("Agent"))),
			"depth":  required(ast.Long()),
		}),
		"tool": required(ast.RecordType{
			"name":        required(ast.String()),
			"readOnly":    required(ast.Bool()),
			"destructive": required(ast.Bool()),
			"idempotent":  required(ast.Bool()),
			"openWorld":   required(ast.Bool()),
		}),
		"token": required(describeToken()),
		"now":   required(ast.Datetime()),
	}
	if len(counters) > 0 {
		recent := ast.RecordType{}
		for _, c := range counters {
			recent[types.String(c.Name)] = required(ast.Long())
		}
		context["recent"] = required(recent)
	}
	return context
}

func describeToken() ast.RecordType {
	return ast.RecordType{
		"scopes":  required(ast.Set(ast.String())),
		"acr":     {Type: ast.String(), Optional: true},
		"expires": required(ast.Datetime()),
	}
}

func describeShape(s *shape) ast.IsType {
	switch s.kind {
	case stringKind:
		return ast.String()
	case longKind:
		return ast.Long()
	case boolKind:
		return ast.Bool()
	case decimalKind:
		return ast.Decimal()
	case setKind:
		return ast.Set(describeShape(s.element))
	case recordKind, noKind:
	}
	record := ast.RecordType{}
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		f := s.fields[name]
		record[types.String(name)] = ast.Attribute{Type: describeShape(f.shape), Optional: !f.required}
	}
	return record
}

func required(t ast.IsType) ast.Attribute { return ast.Attribute{Type: t} }
