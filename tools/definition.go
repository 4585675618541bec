package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Definition is a tool as its upstream described it. The raw bytes are the truth; the rest is read from them.
type Definition struct {
	Raw    json.RawMessage
	Digest string // hex SHA-256 of Raw

	Name         string          `json:"name"` // by the upstream's own name
	Title        string          `json:"title"`
	Description  string          `json:"description"`
	InputSchema  json.RawMessage `json:"inputSchema"`
	OutputSchema json.RawMessage `json:"outputSchema"`
	Annotations  Annotations     `json:"annotations"`
}

// Annotations are an upstream's hints about a tool, unverified (MCP ToolAnnotations). Nil means not said.
type Annotations struct {
	ReadOnly    *bool `json:"readOnlyHint"`
	Destructive *bool `json:"destructiveHint"`
	Idempotent  *bool `json:"idempotentHint"`
	OpenWorld   *bool `json:"openWorldHint"`
}

// ParseDefinition reads one raw MCP Tool.
func ParseDefinition(raw json.RawMessage) (Definition, error) {
	d := Definition{Raw: raw}
	if err := json.Unmarshal(raw, &d); err != nil {
		return Definition{}, fmt.Errorf("parse tool definition: %w", err)
	}
	sum := sha256.Sum256(raw)
	d.Digest = hex.EncodeToString(sum[:])
	return d, nil
}
