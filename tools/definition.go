package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a tool definition, in bytes.
const (
	MaxDefinition  = 256 << 10 // the whole of it
	MaxDescription = 64 << 10
	maxRawName     = 512 // what may be shown as the name of a quarantined tool
)

// Definition is a tool as its upstream described it. The raw bytes are the truth; the rest is read from them.
type Definition struct {
	Raw    json.RawMessage `json:"-"`
	Digest string          `json:"-"` // hex SHA-256 of Raw

	Name         string          `json:"name"` // by the upstream's own name
	Title        string          `json:"title"`
	Description  string          `json:"description"`
	InputSchema  json.RawMessage `json:"inputSchema"`
	OutputSchema json.RawMessage `json:"outputSchema"`
	Annotations  Annotations     `json:"annotations"`
	Execution    jsontext.Value  `json:"execution"`
}

// TakesTasks reports whether the upstream says that the tool can, or must, be called as a task (MCP 2025-11-25).
func (d Definition) TakesTasks() bool {
	var e struct {
		TaskSupport string `json:"taskSupport"`
	}
	return len(d.Execution) > 0 && jsonv2.Unmarshal(d.Execution, &e) == nil && (e.TaskSupport == "optional" || e.TaskSupport == "required")
}

// Annotations are an upstream's hints about a tool, unverified (MCP ToolAnnotations). Nil means not said.
type Annotations struct {
	ReadOnly    *bool `json:"readOnlyHint"`
	Destructive *bool `json:"destructiveHint"`
	Idempotent  *bool `json:"idempotentHint"`
	OpenWorld   *bool `json:"openWorldHint"`
}

// ParseDefinition reads one raw MCP Tool and keeps a copy of its bytes. Member
// names are case-sensitive and may not repeat, so that nobody reads another
// definition from the same bytes. A definition without a name, or beyond the bounds of
// this package, is an error; whether its name and schema can be used is decided later.
func ParseDefinition(raw json.RawMessage) (Definition, error) {
	if len(raw) > MaxDefinition {
		return Definition{}, fmt.Errorf("parse tool definition: larger than %d bytes", MaxDefinition)
	}
	var d Definition
	if err := jsonv2.Unmarshal(raw, &d); err != nil {
		return Definition{}, fmt.Errorf("parse tool definition: %w", definitionFault(err))
	}
	switch {
	case d.Name == "":
		return Definition{}, errors.New("parse tool definition: it has no name")
	case len(d.Name) > maxRawName:
		return Definition{}, fmt.Errorf("parse tool definition: its name is longer than %d bytes", maxRawName)
	case len(d.Title)+len(d.Description) > MaxDescription:
		return Definition{}, fmt.Errorf("parse tool definition: its description is larger than %d bytes", MaxDescription)
	}
	d.Raw = bytes.Clone(raw)
	sum := sha256.Sum256(raw)
	d.Digest = hex.EncodeToString(sum[:])
	return d, nil
}

// definitionFault is err without the text of the definition, which a stranger wrote.
func definitionFault(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("a member is named twice")
	}
	if _, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return errors.New("a member has the wrong type")
	}
	return errors.New("not valid JSON")
}
