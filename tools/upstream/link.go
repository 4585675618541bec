package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// link brings answers to a server's own requests when mcp-go does not.
type link struct {
	send func(ctx context.Context, message []byte) error
}

// respond sends a response. If it does not arrive the server waits in vain, for as
// long as it likes: its call has a time limit.
func (l *link) respond(ctx context.Context, response *transport.JSONRPCResponse) {
	message, err := json.Marshal(response)
	if err != nil {
		return // decoded from JSON, it encodes
	}
	_ = l.send(ctx, message) // see above
}

// pipeLink writes to a process.
func pipeLink(w io.Writer) *link {
	return &link{send: func(_ context.Context, message []byte) error {
		_, err := w.Write(append(message, '\n'))
		return err
	}}
}

// postLink posts to a server over HTTP, in the session that t has.
func postLink(c *http.Client, url string, headers map[string]string, t *transport.StreamableHTTP, version func() string) *link {
	return &link{send: func(ctx context.Context, message []byte) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(message))
		if err != nil {
			return err
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set(mcp.HeaderProtocolVersion, version())
		if id := t.GetSessionId(); id != "" {
			r.Header.Set(mcp.HeaderSessionID, id)
		}
		response, err := c.Do(r)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}}
}
