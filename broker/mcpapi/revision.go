package mcpapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// isModern reports whether a message is of revision 2026-07-28 or later, which has no sessions.
func isModern(header http.Header, m *message) bool {
	return mcp.IsModernProtocol(m.meta.version) || mcp.IsModernProtocol(header.Get(mcp.HeaderProtocolVersion))
}

func mismatch(public string) *fault { return &fault{code: mcp.HEADER_MISMATCH, public: public} }

// checkStated compares what the headers say of a message with the message, in every
// revision: whoever decides by headers on the way must not be told another story.
func checkStated(header http.Header, m *message) error {
	if values, ok := header[mcp.HeaderMethod]; ok && values[0] != m.method {
		return mismatch("the header " + mcp.HeaderMethod + " differs from the body's method")
	}
	if values, ok := header[mcp.HeaderName]; ok {
		want := m.call.name
		if m.method == string(mcp.MethodResourcesRead) {
			want = m.call.uri
		}
		if isTaskMethod(m.method) {
			want = m.call.taskID
		}
		if name, ok := mcp.DecodeHeaderValue(values[0]); !ok || name != want {
			return mismatch("the header " + mcp.HeaderName + " differs from the name in the body")
		}
	}
	return nil
}

// checkModern applies what revision 2026-07-28 requires of a request and mcp-go
// checks of those that reach it: same conditions, same codes.
func checkModern(header http.Header, m *message) *fault {
	stated := header.Get(mcp.HeaderProtocolVersion)
	switch {
	case header.Get(mcp.HeaderLastEventID) != "":
		return mismatch(mcp.HeaderLastEventID + " is not part of this protocol version: send the request again with a new id")
	case stated == "":
		return mismatch("the header " + mcp.HeaderProtocolVersion + " is required")
	case m.meta.version == "":
		return invalidParams("missing or invalid _meta field " + mcp.MetaKeyProtocolVersion)
	case stated != m.meta.version:
		return mismatch("the header " + mcp.HeaderProtocolVersion + " differs from the body's " + mcp.MetaKeyProtocolVersion)
	case !mcp.IsValidProtocolVersion(stated):
		return &fault{
			code: mcp.UNSUPPORTED_PROTOCOL_VERSION, public: "unsupported protocol version",
			data: mcp.UnsupportedProtocolVersionData{Supported: mcp.ValidProtocolVersions, Requested: stated},
		}
	case m.meta.capabilities == nil:
		return invalidParams("missing or invalid _meta field " + mcp.MetaKeyClientCapabilities)
	case header.Get(mcp.HeaderMethod) == "":
		return mismatch("the header " + mcp.HeaderMethod + " is required")
	case mcp.MethodRequiresNameHeader(mcp.MCPMethod(m.method)) && header.Get(mcp.HeaderName) == "":
		return mismatch("the header " + mcp.HeaderName + " is required")
	}
	return nil
}

// checkParamHeaders compares Mcp-Param-* headers with the arguments, for tools
// whose schema asks for them (SEP-2243).
func checkParamHeaders(header http.Header, m *message, t *tools.Tool) *fault {
	if t == nil || !strings.Contains(string(t.InputSchema), "x-mcp-header") {
		return nil
	}
	annotated := &mcp.Tool{Name: t.Definition.Name, RawInputSchema: t.InputSchema}
	lookup := func(name string) (string, bool) {
		values := header.Values(name)
		if len(values) != 1 {
			return "", false
		}
		return values[0], true
	}
	if err := mcp.ValidateParamHeadersLookup(lookup, annotated, json.RawMessage(m.params)); err != nil {
		return mismatch("a header " + mcp.HeaderParamPrefix + "* differs from the argument that it repeats, or is missing")
	}
	return nil
}
