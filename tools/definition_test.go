package tools_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/deedbroker/deed/tools"
)

func TestParseDefinitionKeepsTheBytes(t *testing.T) {
	t.Parallel()
	raw := json.RawMessage(`{ "name":"refund", "title":"T", "inputSchema": {"type":"object"}, "annotations":{"destructiveHint":true}, "Raw":"AA==", "future":1 }`)
	d, err := tools.ParseDefinition(raw)
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Raw) != string(raw) {
		t.Errorf("raw %s, want the bytes that came", d.Raw)
	}
	const digest = "2a6201744dcd3fde" // of the bytes above
	if !strings.HasPrefix(d.Digest, digest) {
		t.Errorf("digest %s, want %s...", d.Digest, digest)
	}
	if d.Name != "refund" || d.Title != "T" || string(d.InputSchema) != `{"type":"object"}` {
		t.Errorf("name %q, title %q, schema %s", d.Name, d.Title, d.InputSchema)
	}
	if d.Annotations.Destructive == nil || !*d.Annotations.Destructive || d.Annotations.ReadOnly != nil {
		t.Errorf("annotations %+v, want destructive and nothing else said", d.Annotations)
	}
	raw[9] = 'X'
	if d.Raw[9] == 'X' {
		t.Error("the definition shares the caller's bytes")
	}
}

func TestParseDefinitionRefuses(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"no name":              `{"inputSchema":{}}`,
		"a name in other case": `{"Name":"a"}`,
		"a name twice":         `{"name":"a","name":"b"}`,
		"a long name":          `{"name":"` + strings.Repeat("n", 600) + `"}`,
		"a long description":   `{"name":"a","description":"` + strings.Repeat("d", tools.MaxDescription+1) + `"}`,
		"a large definition":   `{"name":"a","inputSchema":{"x":"` + strings.Repeat("d", tools.MaxDefinition) + `"}}`,
		"invalid UTF-8":        "{\"name\":\"a\xff\"}",
		"not JSON":             `{`,
		"null":                 `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d, err := tools.ParseDefinition(json.RawMessage(raw)); err == nil {
				t.Errorf("taken, with the name %q", d.Name)
			}
		})
	}
}
