package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/eval"
)

// This file is all that looks into the syntax trees of policies.

// reads is the part of the context that policies look at, as a tree of attribute names.
type reads struct {
	all  bool
	part map[string]*reads
}

// mark notes that what path leads to is read whole.
func (r *reads) mark(path []string) {
	for _, name := range path {
		if r.part == nil {
			r.part = map[string]*reads{}
		}
		if r.part[name] == nil {
			r.part[name] = &reads{}
		}
		r = r.part[name]
	}
	r.all = true
}

// of is what is read below name; nil for nothing.
func (r *reads) of(name string) *reads {
	if r == nil || r.all {
		return r
	}
	return r.part[name]
}

// conditions calls visit for the nodes of a policy's conditions, as [ast.Inspect] does.
func conditions(p *cedar.Policy, visit func(ast.IsNode) bool) {
	for _, c := range (*ast.Policy)(p.AST()).Conditions {
		ast.Inspect(ast.NewNode(c.Body), visit)
	}
}

// markReads adds what p reads of the context. It errs on the side of more: a
// context that is used other than by the names of its attributes is read whole.
func markReads(p *cedar.Policy, r *reads) {
	conditions(p, func(n ast.IsNode) bool {
		path, ok := contextPath(n)
		if ok {
			r.mark(path)
		}
		return !ok
	})
}

// readsAttribute reports whether p reads an attribute of that name of anything, or tests for it.
func readsAttribute(p *cedar.Policy, name string) bool {
	found := false
	conditions(p, func(n ast.IsNode) bool {
		if access, ok := n.(ast.NodeTypeAccess); ok && string(access.Value) == name {
			found = true
		}
		if has, ok := n.(ast.NodeTypeHas); ok && string(has.Value) == name {
			found = true
		}
		return !found
	})
	return found
}

// contextPath is the path of an expression like context.input.amount, or of a test like context has input.
func contextPath(n ast.IsNode) ([]string, bool) {
	switch v := n.(type) {
	case ast.NodeTypeVariable:
		return nil, v.Name == "context"
	case ast.NodeTypeAccess:
		path, ok := contextPath(v.Arg)
		return append(path, string(v.Value)), ok
	case ast.NodeTypeHas:
		path, ok := contextPath(v.Arg)
		return append(path, string(v.Value)), ok
	default:
		return nil, false
	}
}

// guard is one use of has.
type guard struct {
	path      []string // of the context; just the attribute for other records
	inContext bool
}

// guardsOf returns the uses of has in p.
func guardsOf(p *cedar.Policy) []guard {
	var guards []guard
	conditions(p, func(n ast.IsNode) bool {
		if v, ok := n.(ast.NodeTypeHas); ok {
			path, inContext := contextPath(v)
			if !inContext {
				path = []string{string(v.Value)}
			}
			guards = append(guards, guard{path: path, inContext: inContext})
		}
		return true
	})
	return guards
}

// literals are the constants of a policy's conditions, and of its scope.
type literals struct {
	entities []cedar.EntityUID
	strings  []string
}

func literalsOf(p *cedar.Policy) literals {
	var l literals
	a := (*ast.Policy)(p.AST())
	for _, s := range []ast.IsScopeNode{a.Principal, a.Action, a.Resource} {
		l.entities = append(l.entities, scopeEntities(s)...)
	}
	conditions(p, func(n ast.IsNode) bool {
		if v, ok := n.(ast.NodeValue); ok {
			switch value := v.Value.(type) {
			case types.EntityUID:
				l.entities = append(l.entities, value)
			case types.String:
				l.strings = append(l.strings, string(value))
			}
		}
		return true
	})
	return l
}

// examplesOf are texts that the patterns of a policy match.
func examplesOf(p *cedar.Policy) []string {
	var examples []string
	conditions(p, func(n ast.IsNode) bool {
		if like, ok := n.(ast.NodeTypeLike); ok {
			examples = append(examples, exampleOf(like.Value))
		}
		return true
	})
	return examples
}

func exampleOf(pattern types.Pattern) string {
	var parts []any // "Wildcard", or an object with a literal
	text, err := pattern.MarshalJSON()
	if err != nil || json.Unmarshal(text, &parts) != nil {
		return "" // it marshals what it has parsed
	}
	var b strings.Builder
	for _, part := range parts {
		if object, ok := part.(map[string]any); ok {
			fmt.Fprint(&b, object["Literal"])
			continue
		}
		b.WriteString("x")
	}
	return b.String()
}

func scopeEntities(s ast.IsScopeNode) []cedar.EntityUID {
	switch scope := s.(type) {
	case ast.ScopeTypeEq:
		return []cedar.EntityUID{scope.Entity}
	case ast.ScopeTypeIn:
		return []cedar.EntityUID{scope.Entity}
	case ast.ScopeTypeInSet:
		return scope.Entities
	case ast.ScopeTypeIsIn:
		return []cedar.EntityUID{scope.Entity}
	case ast.ScopeTypeAll, ast.ScopeTypeIs:
		return nil
	}
	return nil
}

// appliesTo reports whether the policy's scope takes in action, which is in groups.
func appliesTo(p *cedar.Policy, action cedar.EntityUID, groups []cedar.EntityUID) bool {
	switch scope := (*ast.Policy)(p.AST()).Action.(type) {
	case ast.ScopeTypeAll:
		return true
	case ast.ScopeTypeEq:
		return scope.Entity == action
	case ast.ScopeTypeIn:
		return scope.Entity == action || slices.Contains(groups, scope.Entity)
	case ast.ScopeTypeInSet:
		return slices.ContainsFunc(scope.Entities, func(e cedar.EntityUID) bool {
			return e == action || slices.Contains(groups, e)
		})
	}
	return true
}

// exact reports whether p's scope names single actions only, and no group.
func exact(p *cedar.Policy) bool {
	switch scope := (*ast.Policy)(p.AST()).Action.(type) {
	case ast.ScopeTypeEq:
		return true
	case ast.ScopeTypeInSet:
		return !slices.ContainsFunc(scope.Entities, func(e cedar.EntityUID) bool {
			_, people := peopleActions()[string(e.ID)]
			return !people && !strings.Contains(string(e.ID), ".")
		})
	case ast.ScopeTypeAll, ast.ScopeTypeIn:
		return false
	}
	return false
}

// narrowed is the policy for one action alone.
func narrowed(p *cedar.Policy, action cedar.EntityUID) *ast.Policy {
	one := *(*ast.Policy)(p.AST())
	one.Action = ast.ScopeTypeEq{Entity: action}
	return &one
}

// anyAction is the policy for whatever action.
func anyAction(p *cedar.Policy) *cedar.Policy {
	open := *p.AST()
	open.Action = ast.ScopeTypeAll{}
	return cedar.NewPolicyFromAST(&open)
}

// verdict is what is known of a policy when part of its context is not.
type verdict uint8

const (
	never verdict = iota
	perhaps
	always
)

// unknown stands for a value of the context that partial evaluation does not know.
func unknown(name string) cedar.Value { return eval.Variable(types.String(name)) }

// foresee evaluates a policy as far as that is possible. The policy's scope must be decided by req.
func foresee(p *cedar.Policy, entities types.EntityGetter, req cedar.Request) verdict {
	left, keep := eval.PartialPolicy(eval.Env{
		Entities:  entities,
		Principal: req.Principal,
		Action:    req.Action,
		Resource:  req.Resource,
		Context:   req.Context,
	}, (*ast.Policy)(p.AST()))
	switch {
	case !keep:
		return never
	case len(left.Conditions) == 0:
		return always
	default:
		return perhaps
	}
}
