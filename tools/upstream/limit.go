package upstream

import (
	"io"
	"mime"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// limitedTransport bounds the answers of a server, and turns a status of failure that
// comes without JSON into an error.
type limitedTransport struct {
	base http.RoundTripper
	most int
	s    *session
}

// RoundTrip implements [http.RoundTripper].
func (t *limitedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodDelete && t.s.stays.Load() {
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")) // none if it is malformed
	if response.StatusCode == http.StatusNotFound && kind == "application/json" && mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)) {
		// An unknown method, since revision 2026-07-28. mcp-go takes every 404 for the end of a session.
		response.StatusCode = http.StatusBadRequest
	}
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed: // mean something to mcp-go
	default:
		if response.StatusCode >= http.StatusBadRequest && kind != "application/json" {
			_ = response.Body.Close() // nothing of it is read
			return nil, statusError(response.StatusCode)
		}
	}
	events := kind == "text/event-stream"
	response.Body = &limitedBody{body: response.Body, left: t.most, most: t.most, events: events}
	if events {
		response.Body = t.s.overhear(r, response.Body)
	}
	return response, nil
}

// limitedBody ends with an error when it is too long, or a single event of a stream of events is.
type limitedBody struct {
	body       io.ReadCloser
	left, most int
	events     bool
	line       int // bytes of the line that is being read, in a stream of events
}

// Read reads from the body.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.left -= n
	if b.events {
		b.count(p[:n])
	}
	if b.left < 0 {
		return 0, tools.ErrTooLarge
	}
	return n, err
}

// count starts anew after each empty line, which ends an event.
func (b *limitedBody) count(read []byte) {
	for i, c := range read {
		switch c {
		case '\r':
		case '\n':
			if b.line == 0 && b.left+len(read)-i > 0 {
				b.left = b.most - (len(read) - i - 1)
			}
			b.line = 0
		default:
			b.line++
		}
	}
}

// Close closes the body.
func (b *limitedBody) Close() error { return b.body.Close() }
