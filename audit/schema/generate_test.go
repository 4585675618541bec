package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/schema"
)

var update = flag.Bool("update", false, "write the schemas")

// object is a JSON object. Encoding sorts its names, so that the files are the same each time.
type object = map[string]any

const reference = "#/$defs/"

func TestFilesAreThoseOfTheTypes(t *testing.T) {
	t.Parallel()
	src := parseAudit(t)
	generated := map[string]object{"asyncapi.json": src.asyncAPI()}
	for _, topic := range schema.Topics() {
		generated[topic+".json"] = src.topic(topic)
	}
	for name, document := range generated {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(document); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(have), b.String()); diff != "" {
			t.Errorf("%s is not up to date: run go test ./audit/schema -update\n%s", name, diff)
		}
	}
}

func (s *source) eventsOf(topic string) []eventType {
	var some []eventType
	for _, e := range s.events {
		if schema.TopicOf(audit.Type(e.name)) == topic {
			some = append(some, e)
		}
	}
	return some
}

// topic is the schema of the events of one topic.
func (s *source) topic(topic string) object {
	defs := object{"Event": s.structure("Event")}
	var choices []any
	for _, e := range s.eventsOf(topic) {
		s.define(defs, e.data)
		defs[e.name] = object{
			"title": e.name, "description": strings.TrimSpace("An event with " + e.data + " for its data. " + sentence(e.doc)),
			"$ref": reference + "Event",
			"properties": object{
				"type": object{"const": e.name}, "topic": object{"const": topic}, "data": object{"$ref": reference + e.data},
			},
		}
		choices = append(choices, object{
			"if":   object{"properties": object{"type": object{"const": e.name}}},
			"then": object{"$ref": reference + e.name},
		})
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": schema.Base + topic + ".json",
		"title":       "Events of the topic " + topic,
		"description": "CloudEvents 1.0 in JSON, as Deed writes them. Attributes that are not here may be added.",
		"type":        "object", "required": []string{"type"},
		"properties": object{"type": object{"enum": s.typesOf(topic)}},
		"allOf":      choices, "$defs": defs,
	}
}

func (s *source) typesOf(topic string) []string {
	var names []string
	for _, e := range s.eventsOf(topic) {
		names = append(names, e.name)
	}
	return names
}

// define adds a struct and all that it refers to.
func (s *source) define(defs object, name string) {
	if defs[name] != nil {
		return
	}
	defs[name] = s.structure(name)
	for _, f := range s.structs[name].fields {
		ast.Inspect(f.typ, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && s.structs[id.Name] != nil {
				s.define(defs, id.Name)
			}
			return true
		})
	}
}

func (s *source) structure(name string) object {
	st := s.structs[name]
	properties, required := object{}, []string{}
	for _, f := range st.fields {
		p := s.typeOf(f.typ, f.optional)
		if f.doc != "" {
			p["description"] = sentence(f.doc)
		}
		properties[f.name] = p
		if !f.optional {
			required = append(required, f.name)
		}
	}
	switch name {
	case "Event":
		s.constrain(properties)
	case "Outcome": // a later version may have more of them
		properties["code"] = object{"type": "string", "description": "Why it ended so.", "examples": s.codes}
	}
	return object{"title": name, "description": st.doc, "type": "object", "properties": properties, "required": required}
}

// constrain says of the envelope what its Go types don't.
func (s *source) constrain(properties object) {
	for name, more := range map[string]object{
		"specversion": {"const": "1.0"}, "datacontenttype": {"const": "application/json"},
		"id": {"minLength": 1}, "source": {"format": "uri", "pattern": "^deed://"},
		"tenant": {"minLength": 1}, "domain": {"minLength": 1}, "topic": {"minLength": 1},
		"data": {"type": "object"},
	} {
		property, ok := properties[name].(object)
		if !ok {
			panic("the envelope has no attribute " + name)
		}
		maps.Copy(property, more)
	}
}

// typeOf is the schema of a Go type as encoding/json writes it.
func (s *source) typeOf(e ast.Expr, optional bool) object {
	switch e := e.(type) {
	case *ast.StarExpr:
		return s.typeOf(e.X, true)
	case *ast.ArrayType:
		kind := any("array")
		if !optional { // nil is null, where it isn't left out
			kind = []string{"array", "null"}
		}
		return object{"type": kind, "items": s.typeOf(e.Elt, true)}
	case *ast.SelectorExpr:
		if e.Sel.Name == "Time" {
			return object{"type": "string", "format": "date-time"}
		}
		return object{} // json.RawMessage
	case *ast.Ident:
		return s.named(e.Name)
	default:
		panic("a type that no event should have")
	}
}

func (s *source) named(name string) object {
	switch {
	case name == "string" || name == "Type":
		return object{"type": "string"}
	case name == "bool":
		return object{"type": "boolean"}
	case name == "int" || name == "int64":
		return object{"type": "integer"}
	case name == "float64":
		return object{"type": "number"}
	case s.structs[name] != nil:
		return object{"$ref": reference + name}
	case s.enums[name] != nil:
		return object{"type": "string", "enum": s.enums[name]}
	default:
		panic("a type that no event should have: " + name)
	}
}

// sentence begins with a capital and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + strings.Repeat(".", 1-min(1, strings.Count(text[len(text)-1:], ".")))
}
