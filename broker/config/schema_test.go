package config_test

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/deedbroker/deed/broker/config"
)

func TestSchemaHasTheKeysOfTheTypes(t *testing.T) {
	t.Parallel()
	var schema map[string]any
	if err := json.Unmarshal([]byte(config.Schema()), &schema); err != nil {
		t.Fatal(err)
	}
	compareSchema(t, "", schema, reflect.TypeFor[config.Config]())
}

func compareSchema(t *testing.T, key string, schema map[string]any, goType reflect.Type) {
	t.Helper()
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	if reflect.PointerTo(goType).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return
	}
	switch goType.Kind() { // the kinds that have keys
	case reflect.Slice:
		compareSchema(t, key+"[]", object(schema["items"]), goType.Elem())
	case reflect.Map:
		compareSchema(t, key+".*", object(schema["additionalProperties"]), goType.Elem())
	case reflect.Struct:
		properties := object(schema["properties"])
		tags := map[string]reflect.Type{}
		for field := range goType.Fields() {
			tags[field.Tag.Get("yaml")] = field.Type
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(tags)), slices.Sorted(maps.Keys(properties))); diff != "" {
			t.Errorf("%s: keys (-types +schema):\n%s", key, diff)
		}
		if schema["additionalProperties"] != false {
			t.Errorf("%s: the schema allows unknown keys", key)
		}
		for tag, fieldType := range tags {
			compareSchema(t, key+"."+tag, object(properties[tag]), fieldType)
		}
	case reflect.String, reflect.Int, reflect.Bool:
	default:
		t.Errorf("%s: the decoder has no case for %v", key, goType)
	}
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func TestSchemaAgreesWithParse(t *testing.T) {
	t.Parallel()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("deed.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("deed.json")
	if err != nil {
		t.Fatal(err)
	}
	const upstream = "domains: { d: {} }\nupstreams: { u: { domain: d, command: [x]"
	for text, valid := range map[string]bool{
		string(readTestdata(t, "testdata/full.yaml")): true,
		minimal:                                    true,
		minimal + upstream + ", timeout: 1d } }":   true,
		minimal + upstream + ", tiemout: 1d } }":   false,
		minimal + upstream + ", concurrency: 0 }}": false,
		minimal + "limits: { body: 4MB }":          false,
		minimal + "limits: { body: 4096 }":         true,
		minimal + "holds: { wait: 45 }":            false,
		minimal + "tenant: Acme":                   false,
		"policies: [a.cedar]":                      false,
	} {
		var instance any
		if err := yaml.Unmarshal([]byte(text), &instance); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(instance); (err == nil) != valid {
			t.Errorf("schema says %v of:\n%s", err, text)
		}
		if _, err := config.Parse("deed.yaml", []byte(text)); (err == nil) != valid {
			t.Errorf("Parse says %v of:\n%s", err, text)
		}
	}
}
