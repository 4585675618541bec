package mcpapi

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

const (
	maxID   = 256 // bytes of a request id
	maxText = 128 // bytes of a short text that clients choose
)

// message is a JSON-RPC message, decoded once. Its values are slices of the body.
type message struct {
	id     jsontext.Value // a string or number; nil in a notification
	method string         // empty in a response
	params jsontext.Value // an object, or nil
	result jsontext.Value
	failed jsontext.Value // the error of a response

	call callParams
	meta meta
}

// callParams are the params that are read here, of whatever method.
type callParams struct {
	name      string
	uri       string // of resources/read
	arguments jsontext.Value
	cursor    string         // of lists
	responses jsontext.Value // inputResponses: answers to what was asked before
	state     jsontext.Value // requestState: which question they answer
	task      jsontext.Value // of tools/call: the terms of a task
	taskID    string         // of tasks/*
	filter    jsontext.Value // notifications, of subscriptions/listen
	requestID jsontext.Value // of notifications/cancelled

	client       implementation // of initialize
	version      string         // of initialize
	capabilities jsontext.Value // of initialize
}

// implementation is what a client calls itself.
type implementation struct{ name, version string }

// meta is the _meta of a request.
type meta struct {
	version        string
	client         implementation
	capabilities   jsontext.Value // an object, or nil
	logLevel       string
	progressToken  jsontext.Value
	traceParent    string
	idempotencyKey string
	justification  string
}

// What the broker reads of a request's _meta beside what is MCP's.
const (
	keyIdempotency   = "dev.deed/idempotency_key"
	keyJustification = "dev.deed/justification" // why the agent makes the call, for those who decide on it

	maxJustification = 1000 // bytes
)

// fault is why a message is refused before anything is done with it.
type fault struct {
	code   int // of JSON-RPC
	public string
	data   any
}

func (f *fault) Error() string { return f.public }

func invalidRequest(public string) *fault { return &fault{code: mcp.INVALID_REQUEST, public: public} }

func invalidParams(public string) *fault { return &fault{code: mcp.INVALID_PARAMS, public: public} }

// Members of messages and params that mcp-go would recognise whatever their case.
var (
	messageMembers = []string{"jsonrpc", "id", "method", "params", "result", "error"}
	paramsMembers  = []string{
		"_meta", "name", "arguments", "cursor", "uri", "protocolVersion", "clientInfo", "capabilities", "level",
		"notifications", "requestId", "task", "taskId", "inputResponses", "requestState", "argument", "ref", "context",
	}
)

// decodeMessage reads the one JSON-RPC message that body must be. No object in it
// may name a member twice, and nothing may pass for a member of the protocol by
// its case, so that nobody downstream reads another message from the same bytes.
// The error is a [*fault]; the message then has its id if that could be read.
func decodeMessage(body []byte) (*message, error) {
	m := new(message)
	r := newReader(body)
	var version string
	err := r.members(messageMembers, func(name string) (err error) {
		switch name {
		case "jsonrpc":
			version, err = r.text()
		case "id":
			m.id, err = r.id()
		case "method":
			m.method, err = r.text()
		case "params":
			m.params, err = r.params(m)
		case "result":
			m.result, err = r.value()
		case "error":
			m.failed, err = r.value()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	if err == nil {
		err = r.end()
	}
	switch {
	case err != nil:
		return m, asFault(err)
	case version != mcp.JSONRPC_VERSION:
		return m, invalidRequest("jsonrpc must be \"2.0\"")
	case m.method == "" && m.id == nil:
		return m, invalidRequest("the message has neither method nor id")
	case m.method == "" && m.result == nil && m.failed == nil:
		return m, invalidRequest("the message has no method")
	}
	return m, nil
}

func asFault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &fault{code: mcp.PARSE_ERROR, public: "the body names a member twice"}
	}
	return &fault{code: mcp.PARSE_ERROR, public: "the body is not one valid JSON value"}
}

// canonical is the message as mcp-go gets it: the members that were read, and no others.
func (m *message) canonical() []byte {
	b := append(make([]byte, 0, 64+len(m.id)+len(m.method)+len(m.params)+len(m.result)+len(m.failed)), `{"jsonrpc":"2.0"`...)
	if m.id != nil {
		b = append(append(b, `,"id":`...), m.id...)
	}
	if m.method != "" {
		b = append(b, `,"method":`...)
		b = appendText(b, m.method)
	}
	if m.params != nil {
		b = append(append(b, `,"params":`...), m.params...)
	}
	if m.result != nil {
		b = append(append(b, `,"result":`...), m.result...)
	}
	if m.failed != nil {
		b = append(append(b, `,"error":`...), m.failed...)
	}
	return append(b, '}')
}

// appendText appends text, which came from JSON, as a JSON string.
func appendText(b []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(b, text)
	if err != nil { // invalid UTF-8, which AppendQuote has replaced
		return quoted
	}
	return quoted
}

// reader walks over JSON without copying it.
type reader struct {
	dec  *jsontext.Decoder
	body []byte
}

// newReader reads strictly: no duplicate names, no invalid UTF-8.
func newReader(body []byte, options ...jsontext.Options) *reader {
	return &reader{dec: jsontext.NewDecoder(bytes.NewBuffer(body), options...), body: body}
}

// value is the next value as it stands in the body.
func (r *reader) value() (jsontext.Value, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(r.dec.InputOffset())
	return r.body[end-len(v) : end : end], nil
}

// members calls read for each member of the next value, which must be an object;
// read must consume the member's value. A name that equals one of known only when case
// is ignored is a fault.
func (r *reader) members(known []string, read func(name string) error) error {
	if r.dec.PeekKind() != '{' {
		if _, err := r.value(); err != nil {
			return err
		}
		return invalidRequest("an object is expected")
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		token, err := r.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if disguised(name, known) {
			return invalidRequest("a member's name differs from one of the protocol's only in case")
		}
		if err := read(name); err != nil {
			return err
		}
	}
	_, err := r.dec.ReadToken()
	return err
}

func disguised(name string, known []string) bool {
	return !slices.Contains(known, name) && slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(name, k) })
}

// text is the next value if it is a string.
func (r *reader) text() (string, error) {
	v, err := r.value()
	if err != nil {
		return "", err
	}
	if v.Kind() != '"' {
		return "", invalidRequest("a string is expected")
	}
	if s := v[1 : len(v)-1]; bytes.IndexByte(s, '\\') < 0 {
		return string(s), nil
	}
	text, err := jsontext.AppendUnquote(nil, v)
	return string(text), err
}

// id is the next value as the id of a request.
func (r *reader) id() (jsontext.Value, error) {
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if k := v.Kind(); (k != '"' && k != '0') || len(v) > maxID {
		return nil, invalidRequest("id must be a short string or number")
	}
	return v, nil
}

// end reports an error unless the body is at its end.
func (r *reader) end() error {
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return &fault{code: mcp.PARSE_ERROR, public: "the body is not one valid JSON value"}
	}
	return nil
}
