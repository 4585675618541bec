package bench

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	noteName = "note.txt"
	noteText = "note-" + padding

	description = `{"openapi":"3.1.0","info":{"title":"bench","version":"1"},"paths":{"/echo":{"get":{"operationId":"echo","summary":"Says it again.",` +
		`"parameters":[{"name":"text","in":"query","required":true,"schema":{"type":"string"}}],` +
		`"responses":{"200":{"description":"It","content":{"application/json":{"schema":{"type":"object","properties":{"text":{"type":"string"}}}}}}}}}}}`
)

// serveKinds serves echo over Streamable HTTP at /mcp, over the HTTP with server-sent events before it at /sse, and as a plain
// HTTP service at /echo. It says where, and ends with stdin.
func serveKinds(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := echoServer()
	s.AddTool(mcp.NewTool("read_file", mcp.WithString("path", mcp.Required())), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(noteText), nil
	})
	old := server.NewSSEServer(s, server.WithBaseURL("http://"+listener.Addr().String()))
	mux := http.NewServeMux()
	mux.Handle("/mcp", server.NewStreamableHTTPServer(s, server.WithStateful(true), server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler))))
	mux.Handle("/sse", old)
	mux.Handle("/message", old)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { says(w, []byte(description)) })
	mux.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		answer, err := json.Marshal(map[string]string{"text": r.URL.Query().Get("text")})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		says(w, answer)
	})
	return serveUntilTold(listener, mux, stdin, stdout)
}

func says(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // whoever asked has gone
}
