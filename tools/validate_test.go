package tools_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// toolWith is a tool with an input schema.
func toolWith(t *testing.T, schema string) *tools.Tool {
	t.Helper()
	r := tools.NewRegistry(tools.RegistryOptions{})
	if err := r.Add("up", "work", toolstest.NewFake(), tools.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Seed("up", []json.RawMessage{json.RawMessage(`{"name":"a","inputSchema":` + schema + `}`)}); err != nil {
		t.Fatal(err)
	}
	tool, err := r.Lookup("up.a")
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

func TestValidateSaysWhatIsWanted(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","required":["path","amount"],"additionalProperties":false,"properties":{
		"path":{"type":"string","minLength":1,"maxLength":5,"pattern":"^/"},
		"amount":{"type":"integer","minimum":1,"maximum":100},
		"mode":{"enum":["read","write"]},
		"when":{"type":"string","format":"date-time"},
		"list":{"type":"array","maxItems":2,"items":{"type":["boolean","null"]}},
		"either":{"anyOf":[{"type":"string"},{"type":"integer"}]}}}`
	tool := toolWith(t, schema)
	for name, test := range map[string]struct {
		raw  string
		want []tools.Problem
	}{
		"missing":  {`{}`, []tools.Problem{{"/amount", "is required"}, {"/path", "is required"}}},
		"type":     {`{"path":"/a","amount":"5"}`, []tools.Problem{{"/amount", "must be integer"}}},
		"fraction": {`{"path":"/a","amount":1.5}`, []tools.Problem{{"/amount", "must be integer"}}},
		"range":    {`{"path":"/a","amount":101}`, []tools.Problem{{"/amount", "must be at most 100"}}},
		"pattern":  {`{"path":"a","amount":1}`, []tools.Problem{{"/path", `must match the pattern "^/"`}}},
		"length":   {`{"path":"/abcdef","amount":1}`, []tools.Problem{{"/path", "must have at most 5 characters"}}},
		"enum":     {`{"path":"/a","amount":1,"mode":"rm"}`, []tools.Problem{{"/mode", `must be one of "read", "write"`}}},
		"format":   {`{"path":"/a","amount":1,"when":"soon"}`, []tools.Problem{{"/when", `must be in the format "date-time"`}}},
		"unknown":  {`{"path":"/a","amount":1,"x/y":1}`, []tools.Problem{{"/x~1y", "is not an argument of this tool"}}},
		"items":    {`{"path":"/a","amount":1,"list":[true,1]}`, []tools.Problem{{"/list/1", "must be null or boolean"}}},
		"any":      {`{"path":"/a","amount":1,"either":true}`, []tools.Problem{{"/either", "must fit at least one of the alternatives (anyOf) in the schema"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tool.Validate(arguments(t, test.raw))
			invalid, ok := errors.AsType[*tools.ValidationError](err)
			if !ok {
				t.Fatalf("error %v, want a *ValidationError", err)
			}
			if diff := cmp.Diff(test.want, invalid.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
	if err := tool.Validate(arguments(t, `{"path":"/a","amount":1.0,"mode":"read","when":"2026-11-24T00:00:00Z","list":[null],"either":1}`)); err != nil {
		t.Errorf("arguments that fit: %v", err)
	}
}

func TestValidationErrorsAreBoundedAndHoldNoValues(t *testing.T) {
	t.Parallel()
	tool := toolWith(t, `{"type":"object","properties":{"list":{"items":{"type":"integer"}}}}`)
	raw := `{"list":["` + strings.Repeat(`secret","`, 5000) + `x"]}`
	err := tool.Validate(arguments(t, raw))
	invalid, ok := errors.AsType[*tools.ValidationError](err)
	if !ok || len(invalid.Problems) != 8 || invalid.More != 4993 {
		t.Fatalf("error %v, want 8 of 5001 problems", err)
	}
	if strings.Contains(err.Error(), "secret") || len(err.Error()) > 1024 {
		t.Errorf("error of %d bytes: %.200s", len(err.Error()), err)
	}
}

func TestCommonSchemasAreUsable(t *testing.T) {
	t.Parallel()
	for name, schema := range map[string]string{
		"draft 7":            `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`,
		"2020-12":            `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","$defs":{"n":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/n"}}}`,
		"recursive":          `{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}}}`,
		"recursive, by name": `{"type":"object","anyOf":[{"properties":{"and":{"items":{"$ref":"#"}}}},{"properties":{"or":{"items":{"$ref":"#"}}}},{"properties":{"not":{"$ref":"#"}}}]}`,
		"conditional":        `{"type":"object","if":{"properties":{"a":{"const":1}}},"then":{"required":["b"]},"else":{"required":["c"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tool := toolWith(t, schema); tool.Finding != "" {
				t.Error(tool.Finding)
			}
		})
	}
}
