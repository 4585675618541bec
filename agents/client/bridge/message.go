package bridge

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents/client"
)

// message is what has to be known of a JSON-RPC message to forward it.
type message struct {
	raw    []byte
	id     json.RawMessage // nil for a notification
	method string          // empty for a response
	params json.RawMessage

	version   string          // of the protocol, as _meta says since 2026-07-28
	tool      string          // of tools/call
	requestID json.RawMessage // of notifications/cancelled
}

// parse reads a line of input.
func parse(line []byte) (*message, error) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, err
	}
	out := &message{raw: line, id: m.ID, method: m.Method, params: m.Params}
	if string(m.ID) == "null" {
		out.id = nil
	}
	var params struct {
		Name      string          `json:"name"`
		RequestID json.RawMessage `json:"requestId"`
		Meta      struct {
			Version string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	}
	if json.Unmarshal(m.Params, &params) == nil { // otherwise the broker says what is wrong
		out.version, out.tool, out.requestID = params.Meta.Version, params.Name, params.RequestID
	}
	return out, nil
}

// modern reports whether the message is of revision 2026-07-28 or later, which has no sessions.
func (m *message) modern() bool { return mcp.IsModernProtocol(m.version) }

// isRequest reports whether the message asks for an answer.
func (m *message) isRequest() bool { return m.id != nil && m.method != "" }

// headers are those that repeat what the body says.
func (m *message) headers(tools map[string]*mcp.Tool) http.Header {
	h := http.Header{}
	if !m.modern() {
		return h
	}
	h.Set(mcp.HeaderProtocolVersion, m.version)
	for name, value := range mcp.StandardHeaders(m.version, mcp.MCPMethod(m.method), m.params) {
		h.Set(name, value)
	}
	if t := tools[m.tool]; m.method == string(mcp.MethodToolsCall) && t != nil {
		for name, value := range mcp.GenerateParamHeaders(t, m.params) {
			h.Set(name, value)
		}
	}
	return h
}

// failure is the answer to a request that the broker did not answer.
func failure(id json.RawMessage, e *client.Error) []byte {
	if id == nil {
		id = json.RawMessage("null")
	}
	code := mcp.INTERNAL_ERROR
	if e.Kind == client.Invalid {
		code = mcp.INVALID_REQUEST
	}
	data := map[string]any{"kind": e.Kind}
	if e.Retry > 0 {
		data["retry_after"] = e.Retry.Seconds()
	}
	text, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": id,
		"error": map[string]any{"code": code, "message": e.Error(), "data": data},
	})
	if err != nil { // the id is not JSON, which parse has ruled out
		return nil
	}
	return text
}

// isAnswer reports whether a message is the response to a request.
func isAnswer(text []byte, id json.RawMessage) bool {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method *string         `json:"method"`
	}
	return json.Unmarshal(text, &m) == nil && m.Method == nil && bytes.Equal(bytes.TrimSpace(m.ID), bytes.TrimSpace(id))
}

// oneLine is a JSON text without line breaks.
func oneLine(text []byte) []byte {
	text = bytes.TrimSpace(text)
	if !bytes.ContainsAny(text, "\r\n") {
		return text
	}
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return nil
	}
	return b.Bytes()
}

// listed are the tools of an answer to tools/list.
func listed(answer []byte) map[string]*mcp.Tool {
	if !strings.Contains(string(answer), "x-mcp-header") {
		return nil
	}
	var r struct {
		Result struct {
			Tools []mcp.Tool `json:"tools"`
		} `json:"result"`
	}
	if json.Unmarshal(answer, &r) != nil {
		return nil
	}
	tools := map[string]*mcp.Tool{}
	for i := range r.Result.Tools {
		tools[r.Result.Tools[i].Name] = &r.Result.Tools[i]
	}
	return tools
}
