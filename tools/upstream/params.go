package upstream

import (
	"encoding/json"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// Members of _meta besides those of mcp-go.
const (
	metaTraceParent   = "traceparent" // W3C, unprefixed
	metaProgressToken = "progressToken"
)

type callParams struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Meta      map[string]any  `json:"_meta,omitempty"`
}

func (s *session) callParams(c tools.Call, f *flight) (json.RawMessage, error) {
	meta := s.meta()
	if c.TraceParent != "" {
		meta[metaTraceParent] = c.TraceParent
	}
	if f.token != "" {
		meta[metaProgressToken] = f.token
		if mcp.IsModernProtocol(s.version) {
			meta[mcp.MetaKeyLogLevel] = mcp.LoggingLevelInfo
		}
	}
	return json.Marshal(callParams{c.Tool, c.Arguments, meta})
}

type listParams struct {
	Cursor string         `json:"cursor,omitempty"`
	Meta   map[string]any `json:"_meta,omitempty"`
}

func (s *session) listParams(cursor string) (json.RawMessage, error) {
	return json.Marshal(listParams{cursor, s.meta()})
}

// meta is what every request says of the broker since revision 2026-07-28. Nothing of a
// caller's _meta is in it: copied, it would change what revision the server speaks.
func (s *session) meta() map[string]any {
	meta := map[string]any{}
	if mcp.IsModernProtocol(s.version) {
		meta[mcp.MetaKeyProtocolVersion] = s.version
		meta[mcp.MetaKeyClientCapabilities] = mcp.ClientCapabilities{}
		meta[mcp.MetaKeyClientInfo] = s.self
	}
	return meta
}

// implementation is what the broker calls itself.
func implementation() mcp.Implementation {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return mcp.Implementation{Name: "deed", Version: version}
}
