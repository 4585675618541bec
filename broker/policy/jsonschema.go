package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what is read of a tool's schema. What lies beyond has no type.
const (
	maxSchemaDepth = 32
	maxSchemaNodes = 2_000 // after references are followed, which can multiply them
)

// kind is the Cedar type of an argument.
type kind uint8

const (
	noKind kind = iota
	stringKind
	longKind
	boolKind
	decimalKind
	recordKind
	setKind
)

// shape is the Cedar type of arguments, as far as their JSON Schema has one.
type shape struct {
	kind    kind
	fields  map[string]field  // of a record
	element *shape            // of a set
	untyped map[string]string // of a record: arguments without a Cedar type, and why
}

type field struct {
	*shape
	required bool
}

// shapeOf derives the type of context.input from a tool's input schema. It only
// ever relies on assertions that every valid argument satisfies, so that keywords
// it does not know can narrow what is valid and never break the type.
func shapeOf(schema json.RawMessage) (*shape, error) {
	empty := &shape{kind: recordKind}
	if len(bytes.TrimSpace(schema)) == 0 {
		return empty, nil
	}
	dec := json.NewDecoder(bytes.NewReader(schema))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		return nil, fmt.Errorf("parse input schema: %w", err)
	}
	object, ok := root.(map[string]any)
	if !ok {
		return empty, nil
	}
	r := schemaReader{root: object, nodes: maxSchemaNodes}
	if s, _ := r.resolve(object); s != nil {
		object = s
	}
	// Arguments are always an object, whether or not their schema says so.
	return r.record(object, 0), nil
}

type schemaReader struct {
	root  map[string]any
	open  []string // references being followed, to find cycles
	nodes int      // still to be read
}

// read returns the shape of one schema, or why it has none.
func (r *schemaReader) read(schema any, depth int) (*shape, string) {
	r.nodes--
	if depth > maxSchemaDepth || r.nodes < 0 {
		return nil, "its schema is too large"
	}
	object, ok := schema.(map[string]any)
	if !ok {
		return nil, "it may be anything"
	}
	if _, ok := object["$id"]; ok {
		return nil, "its schema is a document of its own ($id)"
	}
	followed := len(r.open)
	defer func() { r.open = r.open[:followed] }()
	object, why := r.resolve(object)
	if why != "" {
		return nil, why
	}
	return r.typed(object, depth)
}

// resolve follows $ref, and allOf with a single member, of a schema without a type of its own.
func (r *schemaReader) resolve(object map[string]any) (resolved map[string]any, why string) {
	for range maxSchemaDepth {
		if _, ok := object["type"]; ok {
			return object, ""
		}
		next, ref := object["$ref"].(string)
		all, isAll := object["allOf"].([]any)
		switch {
		case ref:
			target, why := r.follow(next)
			if why != "" {
				return nil, why
			}
			object = target
		case isAll && len(all) == 1:
			inner, ok := all[0].(map[string]any)
			if !ok {
				return object, ""
			}
			object = inner
		default:
			return object, ""
		}
	}
	return nil, "its references are nested too deeply"
}

func (r *schemaReader) follow(ref string) (target map[string]any, why string) {
	if slices.Contains(r.open, ref) {
		return nil, "its schema refers to itself"
	}
	steps := strings.Split(ref, "/")
	if steps[0] != "#" {
		return nil, "its schema refers outside of its document"
	}
	var at any = r.root
	for _, step := range steps[1:] {
		at = member(at, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
	}
	target, ok := at.(map[string]any)
	if !ok {
		return nil, "its schema refers to what is not there"
	}
	r.open = append(r.open, ref)
	return target, ""
}

func member(in any, name string) any {
	switch v := in.(type) {
	case map[string]any:
		return v[name]
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

func (r *schemaReader) typed(object map[string]any, depth int) (*shape, string) {
	name, why := typeName(object)
	switch name {
	case "string":
		return &shape{kind: stringKind}, ""
	case "integer":
		return &shape{kind: longKind}, ""
	case "number":
		return &shape{kind: decimalKind}, ""
	case "boolean":
		return &shape{kind: boolKind}, ""
	case "array":
		return r.set(object, depth)
	case "object":
		if freeForm(object) {
			return nil, "it is a free-form object"
		}
		return r.record(object, depth), ""
	case "null":
		return nil, "it is always null"
	}
	return nil, why
}

// freeForm reports whether object says nothing about the names of its members.
func freeForm(object map[string]any) bool {
	if _, ok := object["properties"].(map[string]any); ok {
		return false
	}
	more, said := object["additionalProperties"].(bool)
	return !said || more || object["patternProperties"] != nil
}

// typeName is the single type that object allows, or why there is none.
func typeName(object map[string]any) (name, why string) {
	switch t := object["type"].(type) {
	case string:
		return t, "its type is unknown"
	case []any:
		if len(t) == 1 {
			name, _ := t[0].(string)
			return name, "its type is unknown"
		}
		return "", "it is a union of types"
	}
	if values, ok := object["enum"].([]any); ok {
		return commonType(values)
	}
	if value, ok := object["const"]; ok {
		return commonType([]any{value})
	}
	for _, union := range []string{"anyOf", "oneOf"} {
		if _, ok := object[union]; ok {
			return "", "it is a union of types"
		}
	}
	return "", "its schema does not say its type"
}

// commonType is the type of all values, if they share one.
func commonType(values []any) (name, why string) {
	for _, v := range values {
		var t string
		switch n := v.(type) {
		case string:
			t = "string"
		case bool:
			t = "boolean"
		case json.Number:
			t = "number"
			if _, err := n.Int64(); err == nil {
				t = "integer"
			}
		default:
			return "", "its values have no Cedar type"
		}
		if name != "" && name != t {
			return "", "its values are of several types"
		}
		name = t
	}
	return name, "it has no values"
}

func (r *schemaReader) set(object map[string]any, depth int) (*shape, string) {
	if _, ok := object["prefixItems"]; ok {
		return nil, "it is a tuple"
	}
	items, ok := object["items"]
	if !ok {
		return nil, "the schema does not say what is in the array"
	}
	element, why := r.read(items, depth+1)
	if element == nil {
		return nil, "of the array's items: " + why
	}
	return &shape{kind: setKind, element: element}, ""
}

func (r *schemaReader) record(object map[string]any, depth int) *shape {
	s := &shape{kind: recordKind, fields: map[string]field{}, untyped: map[string]string{}}
	properties, _ := object["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		inner, why := r.read(properties[name], depth+1)
		if inner == nil {
			s.untyped[name] = why
			continue
		}
		s.fields[name] = field{shape: inner}
	}
	required, _ := object["required"].([]any)
	for _, v := range required {
		name, _ := v.(string)
		if f, ok := s.fields[name]; ok {
			f.required = true
			s.fields[name] = f
		}
	}
	return s
}
