package mcpapi

import (
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"
)

// params reads the params of m, and gives them as they stand in the body.
func (r *reader) params(m *message) (jsontext.Value, error) {
	begin := int(r.dec.InputOffset())
	if r.dec.PeekKind() == 'n' {
		return nil, r.dec.SkipValue()
	}
	err := r.members(paramsMembers, func(name string) (err error) {
		c := &m.call
		switch name {
		case "_meta":
			err = r.meta(&m.meta)
		case "name":
			c.name, err = r.optionalText()
		case "uri":
			c.uri, err = r.optionalText()
		case "arguments":
			c.arguments, err = r.value()
		case "cursor":
			c.cursor, err = r.optionalText()
		case "inputResponses":
			c.responses, err = r.value()
		case "requestState":
			c.state, err = r.value()
		case "task":
			c.task, err = r.value()
		case "taskId":
			c.taskID, err = r.optionalText()
		case "notifications":
			c.filter, err = r.value()
		case "requestId":
			c.requestID, err = r.value()
		case "capabilities":
			c.capabilities, err = r.value()
		case "protocolVersion":
			c.version, err = r.optionalText()
		case "clientInfo":
			c.client, err = r.implementation()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	end := int(r.dec.InputOffset())
	for r.body[begin] != '{' { // the colon, and space around it
		begin++
	}
	return r.body[begin:end:end], nil
}

func (r *reader) meta(m *meta) error {
	if r.dec.PeekKind() == 'n' {
		return r.dec.SkipValue()
	}
	return r.members(nil, func(name string) (err error) {
		switch name {
		case mcp.MetaKeyProtocolVersion:
			m.version, err = r.optionalText()
		case mcp.MetaKeyClientInfo:
			m.client, err = r.implementation()
		case mcp.MetaKeyClientCapabilities:
			var v jsontext.Value
			if v, err = r.value(); err == nil && v.Kind() == '{' {
				m.capabilities = v
			}
		case mcp.MetaKeyLogLevel:
			m.logLevel, err = r.optionalText()
		case "progressToken":
			m.progressToken, err = r.id()
		case "traceparent":
			m.traceParent, err = r.optionalText()
		case keyIdempotency:
			if m.idempotencyKey, err = r.text(); err == nil && (m.idempotencyKey == "" || len(m.idempotencyKey) > maxText) {
				err = invalidParams(keyIdempotency + " must have 1 to 128 bytes")
			}
		case keyJustification:
			if m.justification, err = r.text(); err == nil && len(m.justification) > maxJustification {
				err = invalidParams(keyJustification + " must have at most 1000 bytes")
			}
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
}

func (r *reader) implementation() (implementation, error) {
	var i implementation
	if r.dec.PeekKind() != '{' {
		return i, r.dec.SkipValue()
	}
	err := r.members(nil, func(name string) (err error) {
		switch name {
		case "name":
			i.name, err = r.optionalText()
		case "version":
			i.version, err = r.optionalText()
		default:
			err = r.dec.SkipValue()
		}
		return err
	})
	return i, err
}

// optionalText is the next value if it is a string; another value counts as not sent.
func (r *reader) optionalText() (string, error) {
	if r.dec.PeekKind() != '"' {
		return "", r.dec.SkipValue()
	}
	return r.text()
}

// String is the client's name and version, printable and short: it is unverified.
func (i implementation) String() string {
	s := i.name
	if i.version != "" {
		s += "/" + i.version
	}
	s = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, s[:min(len(s), 4*maxText)])
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// validTraceParent is value if it is a W3C traceparent of version 00, or nothing.
func validTraceParent(value string) string {
	if len(value) != 55 || value[:3] != "00-" || value[35] != '-' || value[52] != '-' {
		return ""
	}
	trace, parent, flags := value[3:35], value[36:52], value[53:]
	if !isLowerHex(trace) || !isLowerHex(parent) || !isLowerHex(flags) || strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	return value
}

func isLowerHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
