package tools

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaURL = "deed:schema"

// compileSchema compiles a tool's input schema: JSON Schema 2020-12 unless $schema
// says another draft. It loads nothing: a $ref leads into the schema itself.
// Patterns are RE2, which takes linear time; formats are checked where that is asked for.
func compileSchema(raw json.RawMessage, formats bool) (*jsonschema.Schema, error) {
	parsed, err := ParseArgumentsMax(raw, MaxDefinition)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, errors.New("it has none")
	}
	if kind, _ := parsed.Value["type"].(string); kind != "object" {
		return nil, errors.New(`its type is not "object"`)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if formats {
		c.AssertFormat()
	}
	c.UseLoader(noLoader{})
	if err := c.AddResource(schemaURL, any(parsed.Value)); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	schema, err := c.Compile(schemaURL)
	if err != nil {
		return nil, schemaFault(err)
	}
	if cost := schemaCost(schema); cost > maxSchemaCost {
		return nil, errors.New("it takes too long to check: it refers to itself in too many ways")
	}
	return schema, nil
}

// schemaFault is err in a bounded sentence.
func schemaFault(err error) error {
	var (
		load    *jsonschema.LoadURLError
		pattern *jsonschema.InvalidRegexError
		invalid *jsonschema.SchemaValidationError
	)
	switch {
	case errors.As(err, &load):
		return fmt.Errorf("it refers to %s, which is not part of it", printable(load.URL))
	case errors.As(err, &pattern):
		return fmt.Errorf("the pattern %s is not an RE2 regular expression", printable(pattern.Regex))
	case errors.As(err, &invalid):
		return errors.New("it is not a valid JSON Schema")
	default:
		return errors.New(cut(err.Error(), 256))
	}
}

type noLoader struct{}

var errNotLoaded = errors.New("nothing is loaded")

// Load refuses: no schema may make the broker read a file or a URL.
func (noLoader) Load(string) (any, error) { return nil, errNotLoaded }
