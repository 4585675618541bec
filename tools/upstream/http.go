package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

// HTTPConfig is an MCP server over Streamable HTTP, or over what came before it.
type HTTPConfig struct {
	URL string // http or https, without user information
	SSE bool   // the server speaks HTTP with server-sent events, of revision 2024-11-05

	// Headers go with each request: the broker's own credentials, never a caller's.
	Headers map[string]string

	// Credentials prove the broker, or the caller, to the server; nil: nothing does but Headers.
	Credentials credentials.Source
	// CredentialHeader is where they are shown: as a bearer token if it is empty.
	CredentialHeader string
	// Authorizer gets what the server asks for; nil: nobody does. It takes the place of Credentials.
	Authorizer Authorizer
	// KeyHeaders take the idempotency key of a call, by the tool's own name, or for the others by "*".
	KeyHeaders map[string]string

	// TLS and dialling are the transport's; nil means the standard one.
	Transport *http.Transport

	MaxAnswer int           // bytes of an answer; 0 means DefaultMaxAnswer
	Refresh   time.Duration // between listings of the tools; 0 means DefaultRefresh
}

// Authorizer shows a server what it asks for.
type Authorizer interface {
	// Transport sends requests over base with what the server asks for. Its errors have a
	// [credentials.Error] in their chain where there is nothing to show, and in that a
	// [credentials.ConsentError] where a person has to act.
	Transport(base http.RoundTripper) http.RoundTripper
	// Await waits until a person may have acted. Its error is that of ctx.
	Await(ctx context.Context) error
}

// NewHTTP returns an upstream that connects for each Run. Redirects lead nowhere but to
// the same host.
func NewHTTP(c HTTPConfig) (*Server, error) {
	u, err := web.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("configure HTTP upstream: %w", err)
	}
	if c.MaxAnswer < 0 || c.Refresh < 0 {
		return nil, errors.New("configure HTTP upstream: limits cannot be negative")
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = DefaultMaxAnswer
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	c.Headers = maps.Clone(c.Headers)
	s := newServer(c.Refresh)
	if !c.SSE { // whose revision knows no tasks
		s.place = placeOf(u.String())
		s.reenter = func(ctx context.Context, h handle) (*session, error) { return reenterHTTP(ctx, c, u, h) }
	}
	if c.Authorizer != nil {
		s.await = c.Authorizer.Await
	}
	s.connect = func(ctx context.Context, changed func()) (*session, error) {
		if c.SSE {
			return connectSSE(ctx, c, u, changed)
		}
		return connectHTTP(ctx, c, u, changed)
	}
	return s, nil
}

func connectHTTP(ctx context.Context, c HTTPConfig, u *url.URL, changed func()) (*session, error) {
	s, err := openHTTP(ctx, c, u, changed, false)
	if err != nil {
		return nil, err
	}
	if legacyRevision(s.version) {
		// Only a stream of its own brings notifications and questions that belong to no call, and mcp-go
		// opens it only from the start.
		s.close(ctx)
		if s, err = openHTTP(ctx, c, u, changed, true); err != nil {
			return nil, err
		}
	}
	if _, err := s.list(ctx); err != nil { // what goes into headers must be known before the first call
		s.close(ctx)
		return nil, err
	}
	s.drain = drainTimeout
	return s, nil
}

// dial is a session that has not shaken hands yet. What it stands on ends with its release.
func (c HTTPConfig) dial(u *url.URL, more ...transport.StreamableHTTPCOption) (*session, *transport.StreamableHTTP, error) {
	base := c.Transport
	if base == nil {
		base = web.Transport()
	}
	s := newSession()
	s.http, s.place = true, placeOf(u.String())
	s.keyHeaders = c.KeyHeaders
	httpClient := &http.Client{
		Transport:     &limitedTransport{base: negotiator{c.authorized(base)}, most: c.MaxAnswer, s: s},
		CheckRedirect: web.SameHost(u),
	}
	options := []transport.StreamableHTTPCOption{
		transport.WithHTTPBasicClient(httpClient),
		transport.WithHTTPHeaders(c.Headers),
		transport.WithHTTPLogger(slog.New(slog.DiscardHandler)), // it logs what the server sends
	}
	t, err := transport.NewStreamableHTTP(u.String(), append(options, more...)...)
	if err != nil {
		return nil, nil, errors.New("connect: the URL is not valid")
	}
	s.link = postLink(httpClient, u.String(), c.Headers, t, func() string { return s.version })
	s.id = t.GetSessionId
	s.release = func() {
		_ = t.Close() // tells a server that may be gone that the session has ended
		base.CloseIdleConnections()
	}
	return s, t, nil
}

// openHTTP shakes hands, and listens for changes if the server tells of them. With
// stream it speaks the old revisions and listens on their stream.
func openHTTP(ctx context.Context, c HTTPConfig, u *url.URL, changed func(), stream bool) (*session, error) {
	var options []transport.StreamableHTTPCOption
	if stream {
		options = append(options, transport.WithContinuousListening()) //nolint:staticcheck // the only way for the old revisions
	}
	s, t, err := c.dial(u, options...)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(ctx)
	var listening sync.WaitGroup
	closing := s.release
	s.release = func() {
		end()
		closing()
		listening.Wait()
	}
	tells, err := s.shake(ctx, t, httpStart, stream, changed)
	if err != nil {
		s.close(ctx)
		return nil, err
	}
	if tells && !legacyRevision(s.version) {
		listening.Go(func() { s.listen(ctx) })
	}
	return s, nil
}

// authorized shows the server the configured credentials.
func (c HTTPConfig) authorized(base http.RoundTripper) http.RoundTripper {
	switch {
	case c.Authorizer != nil:
		return c.Authorizer.Transport(base)
	case c.Credentials == nil:
		return base
	}
	return &credentials.Transport{Base: base, Source: c.Credentials, Header: c.CredentialHeader}
}

func legacyRevision(version string) bool { return !mcp.IsModernProtocol(version) }

// traced is a context in which an HTTP request notes whether it got a connection: until then
// nothing of it can have been sent. What goes to a process counts as sent.
func traced(ctx context.Context, http bool) (context.Context, *atomic.Bool) {
	if http {
		return web.Traced(ctx)
	}
	sent := &atomic.Bool{}
	sent.Store(true)
	return ctx, sent
}
