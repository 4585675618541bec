package tools

import (
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// maxSchemaCost bounds how often one place in the arguments is checked, so
	// that no upstream's schema makes checking exponential.
	maxSchemaCost = 2000
	// maxSchemaNodes bounds the schemas that a definition expands to.
	maxSchemaNodes = 5000
	maxCostWork    = 5_000_000
)

// schemaNode is a schema by what it applies its subschemas to.
type schemaNode struct {
	inPlace    []*jsonschema.Schema          // to the same value
	properties map[string]*jsonschema.Schema // to one member
	members    []*jsonschema.Schema          // to any member
	items      []*jsonschema.Schema          // to any item
}

// schemaCost is an upper bound of how many schemas are applied to any one place of
// any arguments up to [MaxDepth] deep, or more than maxSchemaCost when that cannot be told cheaply.
func schemaCost(root *jsonschema.Schema) int {
	nodes := map[*jsonschema.Schema]schemaNode{}
	for queue := []*jsonschema.Schema{root}; len(queue) > 0; queue = queue[1:] {
		if _, seen := nodes[queue[0]]; seen {
			continue
		}
		if len(nodes) == maxSchemaNodes {
			return maxSchemaCost + 1
		}
		n := nodeOf(queue[0])
		nodes[queue[0]] = n
		queue = slices.Concat(queue, n.inPlace, n.members, n.items, slices.Collect(maps.Values(n.properties)))
	}
	c := costs{nodes: nodes, below: map[*jsonschema.Schema]int{}}
	worst := 0
	for range MaxDepth + 1 {
		now := make(map[*jsonschema.Schema]int, len(nodes))
		c.places = map[*jsonschema.Schema]places{}
		for s := range nodes {
			now[s] = c.of(s, 0).most()
			if c.work > maxCostWork {
				return maxSchemaCost + 1
			}
		}
		c.deep, c.below = true, now
		worst = max(worst, now[root])
		if worst > maxSchemaCost || now[root] == 0 {
			break
		}
	}
	return worst
}

// places counts the schemas that are applied below a value, by place.
type places struct {
	here    int // at the value itself, when nothing below it counts
	named   map[string]int
	members int // at any member that has no name of its own in the schemas
	items   int
}

func (p places) most() int {
	most := max(p.here, p.members, p.items)
	for _, n := range p.named {
		most = max(most, n+p.members)
	}
	return most
}

// costs computes, for one depth after the other, how many schemas are applied at that
// depth below a value that a schema is applied to.
type costs struct {
	nodes  map[*jsonschema.Schema]schemaNode
	below  map[*jsonschema.Schema]int // at one depth less
	places map[*jsonschema.Schema]places
	deep   bool
	work   int
}

func (c *costs) of(s *jsonschema.Schema, level int) places {
	if known, ok := c.places[s]; ok {
		return known
	}
	p := places{named: map[string]int{}}
	c.places[s] = p // a schema that is applied in place within itself is refused by the validator
	if level > maxSchemaNodes {
		return p
	}
	n := c.nodes[s]
	if !c.deep {
		p.here = 1
	}
	for _, child := range n.inPlace {
		inner := c.of(child, level+1)
		p.here = bounded(p.here + inner.here)
		p.members = bounded(p.members + inner.members)
		p.items = bounded(p.items + inner.items)
		for name, count := range inner.named {
			p.named[name] = bounded(p.named[name] + count)
		}
		c.work += 1 + len(inner.named)
	}
	for name, child := range n.properties {
		p.named[name] = bounded(p.named[name] + c.below[child])
	}
	for _, child := range n.members {
		p.members = bounded(p.members + c.below[child])
	}
	for _, child := range n.items {
		p.items = bounded(p.items + c.below[child])
	}
	c.work += 1 + len(n.properties) + len(n.members) + len(n.items)
	c.places[s] = p
	return p
}

func bounded(count int) int { return min(count, maxSchemaCost+1) }

func nodeOf(s *jsonschema.Schema) schemaNode {
	n := schemaNode{properties: s.Properties}
	n.inPlace = present(slices.Concat([]*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else, s.ContentSchema}, s.AllOf, s.AnyOf, s.OneOf))
	if s.DynamicRef != nil {
		n.inPlace = append(n.inPlace, present([]*jsonschema.Schema{s.DynamicRef.Ref})...)
	}
	for _, dependent := range s.DependentSchemas {
		n.inPlace = append(n.inPlace, dependent)
	}
	for _, dependency := range s.Dependencies {
		n.inPlace = append(n.inPlace, schemasIn(dependency)...)
	}
	n.members = present([]*jsonschema.Schema{s.PropertyNames, s.UnevaluatedProperties})
	for _, pattern := range s.PatternProperties {
		n.members = append(n.members, pattern)
	}
	n.members = append(n.members, schemasIn(s.AdditionalProperties)...)
	n.items = present(slices.Concat([]*jsonschema.Schema{s.Contains, s.Items2020, s.UnevaluatedItems}, s.PrefixItems))
	n.items = append(n.items, schemasIn(s.Items)...)
	n.items = append(n.items, schemasIn(s.AdditionalItems)...)
	return n
}

func present(schemas []*jsonschema.Schema) []*jsonschema.Schema {
	return slices.DeleteFunc(schemas, func(s *jsonschema.Schema) bool { return s == nil })
}

// schemasIn are the schemas of a keyword that takes one, several, or something else.
func schemasIn(keyword any) []*jsonschema.Schema {
	switch k := keyword.(type) {
	case *jsonschema.Schema:
		return present([]*jsonschema.Schema{k})
	case []*jsonschema.Schema:
		return k
	default:
		return nil
	}
}
