package upstream

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// overheard reads a server's stream of events and passes its progress and log
// messages on as they stand there. mcp-go would tell of them too, but not on which
// call's stream they came, and decoded.
type overheard struct {
	io.ReadCloser
	s    *session
	of   *flight // nil for a stream that belongs to no call
	line []byte  // the line that is being read
	data []byte  // of the event that is being read
}

// overhear listens to a response that is a stream.
func (s *session) overhear(r *http.Request, body io.ReadCloser) io.ReadCloser {
	f, _ := r.Context().Value(flightKey{}).(*flight)
	return &overheard{ReadCloser: body, s: s, of: f}
}

// Read reads from the body.
func (o *overheard) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			o.line = append(o.line, rest...)
			break
		}
		o.line = append(o.line, rest[:end]...)
		o.ended(bytes.TrimSuffix(o.line, []byte("\r")))
		o.line, rest = o.line[:0], rest[end+1:]
	}
	return n, err
}

// ended takes a line of the stream; an empty one ends an event.
func (o *overheard) ended(line []byte) {
	if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
		o.data = append(append(o.data, data...), '\n')
		return
	}
	if len(line) > 0 {
		return
	}
	if bytes.Contains(o.data, []byte("notifications")) {
		o.tell()
	}
	o.data = o.data[:0]
}

func (o *overheard) tell() {
	var m struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	if err := jsonv2.Unmarshal(o.data, &m); err != nil {
		return // mcp-go leaves it out as well
	}
	f := o.of
	switch m.Method {
	case methodProgress:
		var p struct {
			Token string `json:"progressToken"`
		}
		if err := json.Unmarshal(m.Params, &p); err != nil {
			return
		}
		f = o.s.flightOf(p.Token)
		m.Params = without(m.Params, metaProgressToken) // ours, and of no use to the caller
	case methodMessage:
		if f == nil {
			f = o.s.onlyFlight()
		}
	default:
		return
	}
	f.queue(note{m.Method, m.Params})
}

// without is an object without one of its members, the others as they stand.
func without(object json.RawMessage, member string) json.RawMessage {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	b := []byte{'{'}
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return nil
		}
		name = bytes.Clone(name)
		value, err := d.ReadValue()
		if err != nil {
			return nil
		}
		if string(name) == `"`+member+`"` {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}')
}
