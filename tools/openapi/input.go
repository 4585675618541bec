package openapi

import (
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

const (
	bodyArgument = "body"
	maxArgument  = 64 // bytes of an argument's name, as model APIs have it
)

// parameter is how an argument becomes part of a request beside its body.
type parameter struct {
	Argument string `json:"argument"`
	In       string `json:"in"`
	Name     string `json:"name"`
	Style    string `json:"style,omitempty"`
	Explode  bool   `json:"explode,omitempty"`
	JSON     bool   `json:"json,omitempty"`     // its value goes as JSON
	Reserved bool   `json:"reserved,omitempty"` // characters with a meaning in URLs are left as they are
	Required bool   `json:"required,omitempty"`
}

// body is how arguments become the body of a request.
type body struct {
	Type string `json:"type"` // media type
	// Members are the arguments that are its members; Argument is the one that is all of it.
	Members  []string `json:"members,omitempty"`
	Argument string   `json:"argument,omitempty"`
	Files    []string `json:"files,omitempty"` // members that are sent as files; their arguments are base64
	Required bool     `json:"required,omitempty"`
}

// input makes the input schema of an operation.
type input struct {
	*schemas
	properties map[string]any
	required   []string
}

func newInput(doc *openapi3.T) *input {
	return &input{schemas: newSchemas(doc, "readOnly"), properties: map[string]any{}}
}

// schema is a closed object: what has no place in the request is no argument.
func (in *input) schema() any {
	schema := map[string]any{"type": "object", "properties": in.properties, "additionalProperties": false}
	if len(in.required) > 0 {
		slices.Sort(in.required)
		schema["required"] = in.required
	}
	return in.within(schema)
}

// parameters reads those of the path and of the operation, whose own take precedence.
func (in *input) parameters(o *operation, c candidate, owned []string) error {
	byPlace := map[[2]string]*openapi3.Parameter{}
	for _, ref := range slices.Concat(c.item.Parameters, c.Parameters) {
		if ref == nil || ref.Value == nil {
			return errors.New("it has a parameter without a description")
		}
		byPlace[[2]string{ref.Value.In, ref.Value.Name}] = ref.Value
	}
	order := slices.SortedFunc(maps.Keys(byPlace), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, at := range order {
		p := byPlace[at]
		if p.In == openapi3.ParameterInHeader {
			name := http.CanonicalHeaderKey(p.Name)
			if name == "Idempotency-Key" || name == "X-Idempotency-Key" {
				o.keyHeader = name
				continue
			}
			if forbidden(name, owned) {
				continue // the broker's or HTTP's own, see package
			}
		}
		if err := in.parameter(o, p); err != nil {
			return fmt.Errorf("parameter %.50q: %w", p.Name, err)
		}
	}
	return o.checkPath()
}

func (in *input) parameter(o *operation, p *openapi3.Parameter) error {
	method, err := p.SerializationMethod()
	if err != nil || p.Name == "" {
		return errors.New("it is not in path, query, header or cookie")
	}
	made := parameter{
		In: p.In, Name: p.Name, Style: method.Style, Explode: method.Explode, Reserved: p.AllowReserved,
		Required: p.Required || p.In == openapi3.ParameterInPath,
	}
	source := p.Schema
	for kind, media := range p.Content {
		if !isJSON(kind) || media == nil {
			return errors.New("its content is not JSON")
		}
		source, made.JSON, made.Style, made.Explode = media.Schema, true, "", false
	}
	if !made.JSON && !known(p.In, method.Style) {
		return fmt.Errorf("its style %.30q is not known there", method.Style)
	}
	schema, err := in.of(source)
	if err != nil {
		return err
	}
	made.Argument = in.free(p.In, p.Name)
	in.properties[made.Argument] = described(withoutNull(schema, made), p.Description)
	if made.Required {
		in.required = append(in.required, made.Argument)
	}
	o.parameters = append(o.parameters, made)
	return nil
}

// free is an argument name that no other has: the parameter's own if it can be.
func (in *input) free(place, name string) string {
	argument := clip(safe(name))
	if _, taken := in.properties[argument]; !taken {
		return argument
	}
	argument = clip(place + "_" + safe(name))
	for n := 2; ; n++ {
		if _, taken := in.properties[argument]; !taken {
			return argument
		}
		argument = clip(fmt.Sprintf("%s_%d_%s", place, n, safe(name)))
	}
}

func clip(name string) string { return name[:min(len(name), maxArgument)] }

// withoutNull is the schema of a parameter without null, which has no place outside JSON:
// an argument that is not there says the same.
func withoutNull(schema any, p parameter) any {
	object, ok := schema.(map[string]any)
	if !ok || p.JSON {
		return schema
	}
	if kinds, ok := object["type"].([]any); ok && len(kinds) == 2 && slices.Contains(kinds, any("null")) {
		object["type"] = slices.DeleteFunc(kinds, func(k any) bool { return k == "null" })[0]
	}
	if options, ok := object["anyOf"].([]any); ok {
		rest := slices.DeleteFunc(slices.Clone(options), isNull)
		only, plain := first(rest).(map[string]any)
		if len(rest) == 1 && plain {
			delete(object, "anyOf")
			for keyword, value := range only {
				if _, own := object[keyword]; !own {
					object[keyword] = value
				}
			}
		}
	}
	if object["default"] == nil {
		delete(object, "default")
	}
	return object
}

func isNull(schema any) bool {
	object, _ := schema.(map[string]any)
	return object["type"] == "null"
}

func first(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// described is a schema with a description, unless it has its own.
func described(schema any, description string) any {
	object, ok := schema.(map[string]any)
	if !ok || description == "" {
		return schema
	}
	if _, own := object["description"]; own {
		return schema
	}
	object["description"] = description
	return object
}

// body reads a request's body. One that need not be there, and cannot be taken, is left out.
func (in *input) body(o *operation, ref *openapi3.RequestBodyRef) error {
	if ref == nil || ref.Value == nil || len(ref.Value.Content) == 0 {
		return nil
	}
	kind, media := chosen(ref.Value.Content)
	if media == nil {
		if ref.Value.Required {
			return errors.New("its body has no media type")
		}
		return nil
	}
	schema, err := in.of(media.Schema)
	if err != nil {
		return err
	}
	o.body = &body{Type: kind, Required: ref.Value.Required}
	object := in.inlined(schema)
	if isMultipart(kind) {
		o.body.Type, o.body.Files = "multipart/form-data", in.files(object)
	}
	if in.spreads(object, ref.Value.Required) {
		in.spread(o.body, object)
		return nil
	}
	if (isForm(kind) || isMultipart(kind)) && object["type"] != "object" {
		return errors.New("its form is not a plain object")
	}
	o.body.Argument = in.free(bodyArgument, bodyArgument)
	switch {
	case isText(kind) && len(object) == 0:
		schema = map[string]any{"type": "string"}
	case isBinary(kind):
		schema = base64Of(nil)
	case len(o.body.Files) > 0: // the files of a body that does not stand beside the parameters
		schema = object
	}
	in.properties[o.body.Argument] = described(schema, ref.Value.Description)
	if ref.Value.Required {
		in.required = append(in.required, o.body.Argument)
	}
	return nil
}

// chosen is the media type in which a body is sent.
func chosen(content openapi3.Content) (string, *openapi3.MediaType) {
	kinds := slices.Sorted(maps.Keys(content))
	for _, fits := range []func(string) bool{isJSON, isForm, isText, isMultipart, isBinary} {
		for _, kind := range kinds {
			if fits(kind) && content[kind] != nil {
				return kind, content[kind]
			}
		}
	}
	return "", nil
}

func isJSON(kind string) bool {
	kind, _, err := mime.ParseMediaType(kind)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

func isForm(kind string) bool {
	kind, _, err := mime.ParseMediaType(kind)
	return err == nil && kind == "application/x-www-form-urlencoded"
}

func isText(kind string) bool {
	kind, _, err := mime.ParseMediaType(kind)
	return err == nil && (strings.HasPrefix(kind, "text/") && !strings.HasSuffix(kind, "*") || kind == "application/xml" || kind == "application/yaml" || strings.HasSuffix(kind, "+xml") || strings.HasSuffix(kind, "+yaml"))
}

// spreads reports whether a body's members can stand beside the parameters: a plain
// object of known members, none of whose names is taken, and for which it is clear whether it is there.
func (in *input) spreads(object map[string]any, required bool) bool {
	members, _ := object["properties"].(map[string]any)
	if object["type"] != "object" || len(members) == 0 {
		return false
	}
	if needed, _ := object["required"].([]any); !required && len(needed) > 0 {
		return false
	}
	for keyword, value := range object {
		switch keyword {
		case "type", "properties", "required", "title", "description", "default", "examples", "$defs":
		case "additionalProperties":
			if value != false {
				return false
			}
		default:
			return false
		}
	}
	for name := range members {
		if _, taken := in.properties[name]; taken || len(name) > maxArgument || strings.ContainsFunc(name, strange) {
			return false
		}
	}
	return true
}

func (in *input) spread(b *body, object map[string]any) {
	members, _ := object["properties"].(map[string]any)
	maps.Copy(in.properties, members)
	b.Members = slices.Sorted(maps.Keys(members))
	needed, _ := object["required"].([]any)
	for _, name := range needed {
		if text, ok := name.(string); ok && members[text] != nil {
			in.required = append(in.required, text)
		}
	}
}
