// Command client is an MCP client on the official Go SDK that knows nothing but the
// broker's address.
//
//	client URL CLIENT_ID
//
// The broker says which identity provider to log in at; the SDK does the rest, and comes
// back for more scopes when a tool needs them. It prints "open ADDRESS" for each login,
// then one line of JSON for each call.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:forbidigo // the end of main
	}
}

func run(ctx context.Context, url, clientID string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	came := make(chan *auth.AuthorizationResult, 1)
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		_, _ = fmt.Fprintln(w, "Logged in.") // the browser may have gone
		came <- &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}
	})}
	go func() { _ = server.Serve(listener) }() // until it is closed
	defer func() { _ = server.Close() }()

	login, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: &oauthex.ClientCredentials{ClientID: clientID},
		RedirectURL:         "http://" + listener.Addr().String() + "/callback",
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			_, _ = fmt.Fprintln(os.Stdout, "open", args.URL)
			select {
			case answer := <-came:
				return answer, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	})
	if err != nil {
		return err
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: url, OAuthHandler: login}, nil)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // done with it
	for _, call := range []*mcp.CallToolParams{
		{Name: "payments__accounts"},
		{Name: "payments__refund", Arguments: map[string]any{"payment": "pay-1001", "amount": 1}},
	} {
		result, err := session.CallTool(ctx, call)
		if err != nil {
			return err
		}
		text, _ := result.Content[0].(*mcp.TextContent)
		line, err := json.Marshal(map[string]any{"tool": call.Name, "isError": result.IsError, "text": text.Text})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(os.Stdout, string(line)); err != nil {
			return err
		}
	}
	return nil
}
