// Package schematest holds events against the schemas of package schema.
package schematest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/schema"
)

// Schemas are those of all topics, compiled.
type Schemas map[string]*jsonschema.Schema

// Compile compiles the schemas. Formats are checked.
func Compile(tb testing.TB) Schemas {
	tb.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiled := Schemas{}
	for _, topic := range schema.Topics() {
		uri, text, err := schema.OfTopic(topic)
		if err != nil {
			tb.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			tb.Fatal(err)
		}
		if err := compiler.AddResource(uri, document); err != nil {
			tb.Fatal(err)
		}
		if compiled[topic], err = compiler.Compile(uri); err != nil {
			tb.Fatal(err)
		}
	}
	return compiled
}

// Validate says what is wrong with the stored bytes of an event.
func (s Schemas) Validate(stored []byte) error {
	head, err := audit.Peek(stored)
	if err != nil {
		return err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(stored))
	if err != nil {
		return err
	}
	if err := s[schema.TopicOf(head.Type)].Validate(document); err != nil {
		return fmt.Errorf("%s: %w", head.Type, err)
	}
	return nil
}
