package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// TokenFunc gives the access token to send with a request. It is called for each, so
// that it can renew; it MUST be safe for concurrent use. Once the broker has refused a token it is
// called once more, with a context that says so ([Refused]): if it then gives another one, the
// request, of which nothing was done, is sent with that.
type TokenFunc func(ctx context.Context) (string, error)

type refusedKey struct{}

// WithRefused asks a [TokenFunc] for another token than one that the broker has refused.
func WithRefused(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, refusedKey{}, token)
}

// Refused reports whether the broker has refused this token just now.
func Refused(ctx context.Context, token string) bool { return ctx.Value(refusedKey{}) == token }

// Options say where the broker is and who calls.
type Options struct {
	URL   string    // of the broker, without /mcp
	Token TokenFunc // required

	// HTTPClient sends the requests; nil is one without a time limit of its own, since
	// a call can wait for people. Redirects are never followed.
	HTTPClient *http.Client

	// Legacy speaks revision 2025-11-25, with a handshake and a session, in place of
	// 2026-07-28.
	Legacy bool

	Name, Version string // what the caller calls itself; the broker records it unverified
}

// Client calls tools through one broker. It is safe for concurrent use.
type Client struct {
	options   Options
	transport *transport.StreamableHTTP
	ids       atomic.Int64
	shaken    chan struct{} // holds one token: who has it shakes hands, if that is still to do

	mu       sync.Mutex
	version  string                    // of the protocol; guarded by mu
	progress map[string]func(Progress) // by token; guarded by mu
	known    map[string]*mcp.Tool      // by wire name, once listed; guarded by mu
}

// New returns a client. It contacts nobody yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("configure client: the URL of the broker must be http(s)://host[:port]")
	}
	if o.Token == nil {
		return nil, errors.New("configure client: a token is required")
	}
	if o.Name == "" {
		o.Name = "deed-client"
	}
	if o.HTTPClient == nil {
		o.HTTPClient = standardClient()
	}
	base := o.HTTPClient.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	t, err := transport.NewStreamableHTTP(strings.TrimSuffix(o.URL, "/")+"/mcp",
		transport.WithHTTPLogger(slog.New(slog.DiscardHandler)),
		transport.WithHTTPBasicClient(&http.Client{
			Transport:     &authorized{base: base, token: o.Token},
			Timeout:       o.HTTPClient.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}))
	if err != nil {
		return nil, fmt.Errorf("configure client: %w", err)
	}
	c := &Client{options: o, transport: t, shaken: make(chan struct{}, 1), progress: map[string]func(Progress){}}
	c.shaken <- struct{}{}
	if !o.Legacy {
		c.version = mcp.ProtocolVersion20260728
		t.SetProtocolVersion(c.version)
		t.SetNotificationHandler(c.notified)
	}
	return c, nil
}

// Close ends the session, if there is one. Calls that run fail.
func (c *Client) Close() error {
	if err := c.transport.Close(); err != nil {
		return fmt.Errorf("close client: %w", err)
	}
	return nil
}

// connect agrees on a revision where that takes a handshake, once. After a failure the
// next request tries again.
func (c *Client) connect(ctx context.Context) (version string, err error) {
	select {
	case <-c.shaken:
		defer func() { c.shaken <- struct{}{} }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	c.mu.Lock()
	version = c.version
	c.mu.Unlock()
	if version != "" {
		return version, nil
	}
	m := mcpclient.NewClient(c.transport, mcpclient.WithLegacyProtocolOnly()) //nolint:staticcheck // it is what Options.Legacy asks for
	m.OnNotification(c.notified)
	if err := m.Start(context.WithoutCancel(ctx)); err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	if _, err := m.Initialize(ctx, mcp.InitializeRequest{Params: mcp.InitializeParams{ClientInfo: c.self()}}); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = m.ProtocolVersion()
	return c.version, nil
}

func (c *Client) self() mcp.Implementation {
	return mcp.Implementation{Name: c.options.Name, Version: firstOf(c.options.Version, "0")}
}

// send sends one request and gives its result. acted is the kind of error when the
// connection breaks after the request was sent.
func (c *Client) send(ctx context.Context, method mcp.MCPMethod, params func(version string) (json.RawMessage, http.Header, error), acted Kind) (json.RawMessage, error) {
	version, err := c.connect(ctx)
	if err != nil {
		return nil, c.failure(ctx, err, Unreachable) // no call was sent
	}
	raw, header, err := params(version)
	if err != nil {
		return nil, &Error{Kind: Invalid, Message: "the arguments are not JSON", Err: err}
	}
	for name, value := range mcp.StandardHeaders(version, method, raw) {
		header.Set(name, value)
	}
	response, err := c.transport.SendRequest(ctx, transport.JSONRPCRequest{
		JSONRPC: mcp.JSONRPC_VERSION, ID: mcp.NewRequestId("call-" + strconv.FormatInt(c.ids.Add(1), 10)),
		Method: string(method), Params: raw, Header: header,
	})
	switch {
	case err != nil:
		return nil, c.failure(ctx, err, acted)
	case response.Error != nil:
		return nil, rpcError(response.Error)
	case len(response.Result) == 0:
		return nil, &Error{Kind: acted, Message: "the answer is none of the protocol"}
	}
	return response.Result, nil
}

// failure is the error of a request without an answer.
func (c *Client) failure(ctx context.Context, err error, acted Kind) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, transport.ErrSessionTerminated) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.options.Legacy {
			c.version = "" // the next request shakes hands anew
		}
		return &Error{Kind: Unreachable, Message: "the session has ended; nothing was sent", Err: err}
	}
	return Explain(err, acted)
}

// rpcError is the broker's refusal by JSON-RPC.
func rpcError(e *mcp.JSONRPCErrorDetails) *Error {
	var r refusal
	if data, err := json.Marshal(e.Data); err == nil && json.Unmarshal(data, &r) == nil && r.Kind != "" {
		return r.err(e.Message)
	}
	r.Kind = Internal
	if e.Code == mcp.INVALID_PARAMS || e.Code == mcp.INVALID_REQUEST || e.Code == mcp.HEADER_MISMATCH {
		r.Kind = Invalid
	}
	out := r.err(e.Message)
	if e.Code == mcp.HEADER_MISMATCH {
		out.Err = errHeaders
	}
	return out
}

// meta is what every request says of its sender since revision 2026-07-28.
func (c *Client) meta(version string) map[string]any {
	meta := map[string]any{}
	if mcp.IsModernProtocol(version) {
		meta[mcp.MetaKeyProtocolVersion] = version
		meta[mcp.MetaKeyClientCapabilities] = mcp.ClientCapabilities{}
		meta[mcp.MetaKeyClientInfo] = c.self()
	}
	return meta
}
