package tools

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// MismatchError says that a tool ran and answered with structured content that does not fit
// the output schema which it declares: whoever relies on the schema would be misled.
type MismatchError struct {
	Answer Answer
	Reason string // where it does not fit; nothing of the answer is in it
}

// Error is the reason.
func (e *MismatchError) Error() string {
	return "the answer does not fit the tool's output schema: " + e.Reason
}

// conforms checks what a tool answers against its output schema, if it has one that can be
// used. An answer that is an error, or has no structured content, promises nothing.
func (t *Tool) conforms(a Answer) error {
	if t.output == nil || a.IsError {
		return nil
	}
	var result struct {
		Structured json.RawMessage `json:"structuredContent"`
	}
	if err := json.Unmarshal(a.Raw, &result); err != nil || len(result.Structured) == 0 {
		return nil //nolint:nilerr // whether it is a result at all is not asked here
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(result.Structured))
	if err != nil {
		return &MismatchError{a, "it is not JSON"}
	}
	if err := t.output.Validate(value); err != nil {
		return &MismatchError{a, misfit(err)}
	}
	return nil
}

// misfit says where a value does not fit a schema, and what that asks for.
func misfit(err error) string {
	said := validationError(err).Error()
	return cut(strings.TrimPrefix(said, "arguments do not fit the tool's input schema: "), maxFinding)
}
