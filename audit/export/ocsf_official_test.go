package export_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/deedbroker/deed/audit/export"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// newIn19 is what OCSF 1.9 adds to what we write, and the official schema of 1.8 does not
// have; it is the newest that is published as a package.
var newIn19 = []string{"ai_agent", "attestation_list", "delegation"}

const officialSchema = `
import json, sys
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
schema = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))
json.dump(schema.get_class_schema("api_activity", ["trace", "security_control", "ai_operation"]), sys.stdout)
`

// What we write is valid by the official schema, but for the parts that are newer than it.
func TestOCSFIsValidByTheOfficialSchema(t *testing.T) {
	t.Parallel()
	python := need.Env(t, need.OCSF)
	out, err := exec.CommandContext(t.Context(), python, "-c", officialSchema).Output()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	id, _ := document.(map[string]any)["$id"].(string)
	if err := compiler.AddResource(id, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(id)
	if err != nil {
		t.Fatal(err)
	}
	newer, lines := map[string]bool{}, 0
	for line := range bytes.Lines(written(t, func(b *bytes.Buffer) export.Format { return export.NewOCSF(b, "1.2.3") })) {
		lines++
		var event map[string]any
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		check(t, schema, event, newer)
	}
	if got := slices.Sorted(maps.Keys(newer)); lines == 0 || !slices.Equal(got, newIn19) {
		t.Errorf("of %d events, beyond 1.8 are %v", lines, got)
	}
}

// check validates an event without what the schema does not know, which it notes.
func check(t *testing.T, schema *jsonschema.Schema, event map[string]any, newer map[string]bool) {
	t.Helper()
	err := schema.Validate(event)
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if err == nil {
		return
	}
	if !ok {
		t.Fatal(err)
	}
	removed := false
	for _, cause := range leaves(invalid) {
		for _, name := range newIn19 {
			if strings.Contains(cause.Error(), "additional properties") && strings.Contains(cause.Error(), "'"+name+"'") {
				removed = true
				newer[name] = true
				remove(event, cause.InstanceLocation, name)
			}
		}
	}
	if !removed {
		text, _ := json.MarshalIndent(event, "", " ") // it was JSON
		t.Fatalf("%v\n%s", err, text)
	}
	check(t, schema, event, newer)
}

func leaves(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, c := range e.Causes {
		all = append(all, leaves(c)...)
	}
	return all
}

func remove(in any, path []string, name string) {
	for _, step := range path {
		switch v := in.(type) {
		case map[string]any:
			in = v[step]
		case []any:
			in = v[int(step[0]-'0')]
		}
	}
	delete(in.(map[string]any), name)
}
