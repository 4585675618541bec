package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime/debug"
	"slices"

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
	Task      *taskParams     `json:"task,omitempty"`
	turnParams
}

// turnParams are those of a call beside what is called.
type turnParams struct {
	InputResponses json.RawMessage `json:"inputResponses,omitempty"`
	RequestState   json.RawMessage `json:"requestState,omitempty"`
	Meta           map[string]any  `json:"_meta,omitempty"`
}

func (s *session) callParams(ctx context.Context, c tools.Call, f *flight, t turn) (json.RawMessage, error) {
	meta := s.meta()
	if c.TraceParent != "" {
		meta[metaTraceParent] = c.TraceParent
	}
	if f.notes != nil {
		meta[metaProgressToken] = f.token
	}
	modern := mcp.IsModernProtocol(s.version)
	if modern && f.notes != nil && c.LogLevel != "" {
		meta[mcp.MetaKeyLogLevel] = c.LogLevel
	}
	if modern {
		meta[mcp.MetaKeyClientCapabilities] = askable(c.Asking)
	}
	more := turnParams{Meta: meta}
	if modern {
		more.InputResponses, more.RequestState = t.answers, t.state
	}
	if c.Method == tools.MethodCall {
		params := callParams{Name: c.Tool, Arguments: c.Arguments, turnParams: more}
		if s.asTask(c) {
			params.Task = lasting(ctx)
		}
		return json.Marshal(params)
	}
	return joined(c.Arguments, more)
}

// joined is the object params with the members of more. Each is what it was.
func joined(params json.RawMessage, more turnParams) (json.RawMessage, error) {
	rest, err := json.Marshal(more)
	if err != nil {
		return nil, err
	}
	head := bytes.TrimSuffix(bytes.TrimSpace(params), []byte("}"))
	switch {
	case len(rest) == len("{}"):
		return params, nil
	case len(head) <= len("{"):
		return rest, nil
	default:
		return slices.Concat(head, []byte(","), rest[1:]), nil
	}
}

type listParams struct {
	Cursor string         `json:"cursor,omitempty"`
	Meta   map[string]any `json:"_meta,omitempty"`
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
