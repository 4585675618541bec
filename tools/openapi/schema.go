package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-openapi/jsonpointer"

	"github.com/deedbroker/deed/tools"
)

const (
	componentRef = "#/components/schemas/"
	defsRef      = "#/$defs/"
)

var errSchemaSize = errors.New("its schema is too large")

// schemas turns the schemas of a document into JSON Schema 2020-12. What they refer to is
// collected, each once, so that one that refers to itself stays finite.
type schemas struct {
	doc   *openapi3.T
	never string         // readOnly or writeOnly: members with it are never there
	defs  map[string]any // by name, for $defs; nil while it is being read
	size  int            // bytes read so far
}

func newSchemas(doc *openapi3.T, never string) *schemas {
	return &schemas{doc: doc, never: never, defs: map[string]any{}}
}

// of converts one schema.
func (s *schemas) of(ref *openapi3.SchemaRef) (any, error) {
	if ref == nil {
		return map[string]any{}, nil
	}
	raw, err := json.Marshal(ref)
	if err != nil {
		return nil, errors.New("its schema cannot be read")
	}
	if s.size += len(raw); s.size > tools.MaxDefinition {
		return nil, errSchemaSize
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var schema any
	if err := d.Decode(&schema); err != nil {
		return nil, errors.New("its schema cannot be read")
	}
	return s.rewrite(schema)
}

// rewrite converts a schema in place, and all that it holds.
func (s *schemas) rewrite(schema any) (any, error) {
	object, ok := schema.(map[string]any)
	if !ok {
		return schema, nil // true or false
	}
	var err error
	for keyword, value := range object {
		switch keyword {
		case "properties", "patternProperties", "$defs", "dependentSchemas":
			err = s.each(value)
		case "allOf", "anyOf", "oneOf", "prefixItems":
			err = s.all(value)
		case "items", "not", "if", "then", "else", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema":
			object[keyword], err = s.rewrite(value)
		case "$ref":
			object[keyword], err = s.refer(value)
		case "$dynamicRef", "$anchor", "$dynamicAnchor", "$id":
			err = fmt.Errorf("its schema uses %s", keyword)
		case "example", "xml", "externalDocs", "discriminator", "$schema", "$comment", "deprecated":
			delete(object, keyword)
		case "minimum", "maximum":
			if beyond(value) {
				delete(object, keyword) // no argument that is taken is
			}
		default:
			if strings.HasPrefix(keyword, "x-") {
				delete(object, keyword)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	s.modernise(object)
	s.dropNever(object)
	return object, nil
}

// dropNever leaves out members that are never there.
func (s *schemas) dropNever(object map[string]any) {
	members, _ := object["properties"].(map[string]any)
	never := func(schema any) bool {
		member, _ := schema.(map[string]any)
		return member[s.never] == true
	}
	if needed, ok := object["required"].([]any); ok {
		object["required"] = slices.DeleteFunc(needed, func(name any) bool {
			text, _ := name.(string)
			return never(members[text])
		})
	}
	maps.DeleteFunc(members, func(_ string, schema any) bool { return never(schema) })
}

func (s *schemas) each(value any) error {
	members, _ := value.(map[string]any)
	for name, member := range members {
		converted, err := s.rewrite(member)
		if err != nil {
			return err
		}
		members[name] = converted
	}
	return nil
}

func (s *schemas) all(value any) error {
	list, _ := value.([]any)
	for i, member := range list {
		converted, err := s.rewrite(member)
		if err != nil {
			return err
		}
		list[i] = converted
	}
	return nil
}

// modernise replaces the keywords that OpenAPI 3.0 had of its own.
func (s *schemas) modernise(object map[string]any) {
	if !s.doc.IsOpenAPI30() {
		return
	}
	for bound, exclusive := range map[string]string{"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"} {
		if is, boolean := object[exclusive].(bool); boolean {
			delete(object, exclusive)
			if limit, ok := object[bound]; ok && is {
				object[exclusive] = limit
				delete(object, bound)
			}
		}
	}
	nullable, _ := object["nullable"].(bool)
	delete(object, "nullable")
	kind, typed := object["type"].(string)
	if !nullable || !typed {
		return
	}
	object["type"] = []any{kind, "null"}
	if values, ok := object["enum"].([]any); ok && !slices.Contains(values, nil) {
		object["enum"] = append(values, nil)
	}
}

// beyond reports whether a bound is one that 64 bits do not hold.
func beyond(bound any) bool {
	n, _ := bound.(json.Number)
	if strings.ContainsAny(n.String(), ".eE") {
		f, err := n.Float64()
		return err != nil || f >= 1<<63 || f <= -1<<63
	}
	_, err := strconv.ParseInt(n.String(), 10, 64)
	return err != nil
}

// refer collects what a reference leads to, and refers to it there.
func (s *schemas) refer(value any) (string, error) {
	ref, _ := value.(string)
	if !strings.HasPrefix(ref, "#/") {
		return "", fmt.Errorf("its schema refers to %.100q, which is not found in the document", ref)
	}
	name := strings.TrimPrefix(ref, componentRef)
	if strings.ContainsAny(name, "/~%#") {
		name = safe(ref)
	}
	if _, known := s.defs[name]; known {
		return defsRef + name, nil
	}
	s.defs[name] = nil
	target, err := s.target(ref)
	if err != nil {
		return "", err
	}
	s.defs[name], err = s.of(target)
	return defsRef + name, err
}

func (s *schemas) target(ref string) (*openapi3.SchemaRef, error) {
	if name, ok := strings.CutPrefix(ref, componentRef); ok && s.doc.Components != nil && s.doc.Components.Schemas[name] != nil {
		return s.doc.Components.Schemas[name], nil
	}
	pointer, err := jsonpointer.New(ref[1:])
	if err == nil {
		var found any
		found, _, err = pointer.Get(s.doc)
		switch f := found.(type) {
		case *openapi3.SchemaRef:
			return f, nil
		case *openapi3.Schema:
			return &openapi3.SchemaRef{Value: f}, nil
		case *openapi3.Ref:
			return &openapi3.SchemaRef{Ref: f.Ref}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("its schema refers to %.100q, which is not found in the document", ref), err)
}

// inlined is a schema that is no reference itself, where that leads to one. It is a copy
// as far as its own members.
func (s *schemas) inlined(schema any) map[string]any {
	object, _ := schema.(map[string]any)
	for range 8 {
		ref, ok := object["$ref"].(string)
		if !ok || len(object) > 1 {
			break
		}
		object, _ = s.defs[strings.TrimPrefix(ref, defsRef)].(map[string]any)
	}
	return maps.Clone(object)
}

// within gives a schema the definitions that it refers to, directly or not.
func (s *schemas) within(schema map[string]any) map[string]any {
	used := map[string]any{}
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, defsRef)
				if _, seen := used[name]; !seen && s.defs[name] != nil {
					used[name] = s.defs[name]
					visit(s.defs[name])
				}
			}
			for _, member := range v {
				visit(member)
			}
		case []any:
			for _, member := range v {
				visit(member)
			}
		}
	}
	visit(schema)
	if len(used) > 0 {
		schema["$defs"] = used
	}
	return schema
}
