package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// toolName is the tool that everybody serves: it answers with its text.
const toolName = "echo"

func echoServer() *server.MCPServer {
	s := server.NewMCPServer("bench", "1", server.WithToolCapabilities(false))
	tool := mcp.NewTool(toolName, mcp.WithDescription("Says it again."), mcp.WithString("text", mcp.Required()))
	s.AddTool(tool, func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	})
	return s
}

// serveHTTP serves on a free port of loopback, says where, and ends with stdin.
func serveHTTP(ctx context.Context, s *server.MCPServer, stdin io.Reader, stdout io.Writer) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", server.NewStreamableHTTPServer(s,
		server.WithStateful(true),
		server.WithSessionIdleTTL(10*time.Minute),
		server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler))))
	return serveUntilTold(listener, mux, stdin, stdout)
}

// serveUntilTold serves on a listener, says where, and ends with its input.
func serveUntilTold(listener net.Listener, handler http.Handler, stdin io.Reader, stdout io.Writer) error {
	web := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	if _, err := fmt.Fprintf(stdout, "http://%s/mcp\n", listener.Addr()); err != nil {
		return errors.Join(err, web.Close())
	}
	_, err := io.Copy(io.Discard, stdin)
	err = errors.Join(err, web.Close())
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func serveStdio(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	s := server.NewStdioServer(echoServer())
	server.WithWorkerPoolSize(64)(s)
	server.WithQueueSize(1000)(s)
	return s.Listen(ctx, stdin, stdout)
}

// serveProxy forwards tools/call raw to the stdio server: the least that a
// gateway made of mcp-go can do.
func serveProxy(ctx context.Context, stdin io.Reader, stdout io.Writer) (err error) {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	upstream := client.NewClient(transport.NewStdioWithOptions(exe, os.Environ(), []string{"bench", "subject", subjectEcho}))
	if err := upstream.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, upstream.Close()) }()
	hello := mcp.InitializeRequest{Params: mcp.InitializeParams{ClientInfo: mcp.Implementation{Name: "bench-proxy", Version: "1"}}}
	if _, err := upstream.Initialize(ctx, hello); err != nil {
		return err
	}
	s, err := mirror(ctx, upstream)
	if err != nil {
		return err
	}
	return serveHTTP(ctx, s, stdin, stdout)
}

// mirror is a server with the upstream's tools under the schemas that it sent.
func mirror(ctx context.Context, upstream *client.Client) (*server.MCPServer, error) {
	p := &proxy{upstream: upstream}
	raw, err := p.send(ctx, string(mcp.MethodToolsList), map[string]any{})
	if err != nil {
		return nil, err
	}
	var list struct {
		Tools []struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			InputSchema json.RawMessage `json:"inputSchema"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	s := server.NewMCPServer("bench-proxy", "1", server.WithToolCapabilities(false))
	for _, t := range list.Tools {
		s.AddTool(mcp.NewToolWithRawSchema(t.Name, t.Description, t.InputSchema), p.call)
	}
	return s, nil
}

type proxy struct {
	upstream *client.Client
	last     atomic.Int64
}

func (p *proxy) call(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	params := map[string]any{"name": r.Params.Name}
	if len(r.Params.RawArguments) > 0 {
		params["arguments"] = r.Params.RawArguments
	} else if r.Params.Arguments != nil {
		params["arguments"] = r.Params.Arguments
	}
	raw, err := p.send(ctx, string(mcp.MethodToolsCall), params)
	if err != nil {
		return nil, err
	}
	return mcp.ParseCallToolResult(&raw)
}

// send makes one request in the generation that was negotiated with the upstream.
func (p *proxy) send(ctx context.Context, method string, params map[string]any) (json.RawMessage, error) {
	if version := p.upstream.ProtocolVersion(); mcp.IsModernProtocol(version) {
		params["_meta"] = map[string]any{
			mcp.MetaKeyProtocolVersion:    version,
			mcp.MetaKeyClientCapabilities: map[string]any{},
		}
	}
	response, err := p.upstream.GetTransport().SendRequest(ctx, transport.JSONRPCRequest{
		JSONRPC: mcp.JSONRPC_VERSION,
		ID:      mcp.NewRequestId("p" + strconv.FormatInt(p.last.Add(1), 10)),
		Method:  method,
		Params:  params,
	})
	if err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, response.Error.AsError()
	}
	return response.Result, nil
}
