package schema_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit/schema/schematest"
)

func goldenEvents(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../testdata/events/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden events: %v", err)
	}
	events := map[string][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		events[strings.TrimSuffix(filepath.Base(path), ".json")] = text
	}
	return events
}

func TestEveryTypeOfEventFitsItsSchema(t *testing.T) {
	t.Parallel()
	schemas, golden := schematest.Compile(t), goldenEvents(t)
	described := map[string]bool{}
	for _, e := range parseAudit(t).events {
		described[e.name] = true
	}
	there := map[string]bool{}
	for name, text := range golden {
		there[name] = true
		if err := schemas.Validate(text); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(there, described); diff != "" {
		t.Errorf("types of events (-with a golden file +in the source):\n%s", diff)
	}
}

// What no version of Deed writes is told apart.
func TestStrangersDoNotFit(t *testing.T) {
	t.Parallel()
	schemas, golden := schematest.Compile(t), goldenEvents(t)
	intent := "dev.deed.call.intent.v1"
	for name, change := range map[string]func(event, data object){
		"another type's data":    func(event, _ object) { event["type"] = "dev.deed.call.released.v1" },
		"an unknown type":        func(event, _ object) { event["type"] = "dev.deed.call.dreamt.v1" },
		"another topic":          func(event, _ object) { event["topic"] = "control" },
		"another version":        func(event, _ object) { event["specversion"] = "0.3" },
		"no data":                func(event, _ object) { delete(event, "data") },
		"data that is text":      func(event, _ object) { event["data"] = "intent" },
		"no tenant":              func(event, _ object) { delete(event, "tenant") },
		"a time that is none":    func(event, _ object) { event["time"] = "yesterday" },
		"no tool":                func(_, data object) { delete(data, "tool") },
		"a tool that is a list":  func(_, data object) { data["tool"] = []any{"a"} },
		"no identity":            func(_, data object) { delete(data, "identity") },
		"no token in it":         func(_, data object) { delete(data["identity"].(object), "token") },
		"an effect that is none": func(_, data object) { data["decision"].(object)["effect"] = "maybe" },
		"a source elsewhere":     func(event, _ object) { event["source"] = "https://example.com" },
	} {
		event, ok := decode(t, string(golden[intent])).(object)
		if !ok {
			t.Fatal("the golden event is no object")
		}
		data, _ := event["data"].(object)
		change(event, data)
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(text); err == nil {
			t.Errorf("%s: it fits", name)
		}
	}
}

// A later version may say more.
func TestMoreAttributesFit(t *testing.T) {
	t.Parallel()
	schemas := schematest.Compile(t)
	for name, text := range goldenEvents(t) {
		event, ok := decode(t, string(text)).(object)
		if !ok {
			t.Fatal("the golden event is no object")
		}
		event["later"] = 1
		event["data"].(object)["later"] = object{}
		more, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(more); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
