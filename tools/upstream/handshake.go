package upstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools/web"
)

// shake connects over t and agrees on a protocol revision. The session's context
// ctx ends with the connection; start bounds the handshake. It reports whether the
// server tells of changes to what it lists.
func (s *session) shake(ctx context.Context, t transport.Interface, start time.Duration, legacy bool, changed func()) (tells bool, err error) {
	var options []client.ClientOption
	if legacy {
		options = append(options, client.WithLegacyProtocolOnly()) //nolint:staticcheck // servers of the old revisions are still many
	}
	s.client = client.NewClient(t, options...)
	s.client.OnNotification(func(n mcp.JSONRPCNotification) { s.notified(n, changed) })
	if err := s.client.Start(ctx); err != nil {
		return false, fmt.Errorf("connect: %w", plain(err))
	}
	capabilities := mcp.ClientCapabilities{}
	if both, ok := t.(transport.BidirectionalInterface); ok {
		both.SetRequestHandler(s.asked)
		capabilities = offered()
	}
	ctx, cancel := context.WithTimeout(ctx, start)
	defer cancel()
	result, err := s.client.Initialize(ctx, mcp.InitializeRequest{Params: mcp.InitializeParams{ClientInfo: s.self, Capabilities: capabilities}})
	if err != nil {
		return false, fmt.Errorf("shake hands: %w", handshakeFault(ctx, err))
	}
	s.version = s.client.ProtocolVersion()
	if err := s.declared(ctx, result.Capabilities); err != nil {
		return false, fmt.Errorf("shake hands: %w", handshakeFault(ctx, err))
	}
	return !s.filter.IsEmpty(), nil
}

// declared keeps what a server has declared of itself. One of the old revisions that
// logs is asked for all of it: each caller says which of that it wants.
func (s *session) declared(ctx context.Context, c mcp.ServerCapabilities) error {
	s.filter.ToolsListChanged = c.Tools != nil && c.Tools.ListChanged
	if c.Resources != nil {
		s.features.Resources, s.features.Subscribe = true, c.Resources.Subscribe
		s.filter.ResourcesListChanged = c.Resources.ListChanged
	}
	if c.Prompts != nil {
		s.features.Prompts, s.filter.PromptsListChanged = true, c.Prompts.ListChanged
	}
	s.features.Completions = c.Completions != nil
	if s.version == mcp.ProtocolVersion20251125 { // the only one that has them beside an extension
		s.tasks = c.Tasks
	}
	if c.Logging == nil || !legacyRevision(s.version) {
		return nil
	}
	var r mcp.SetLevelRequest
	r.Params.Level = mcp.LoggingLevelDebug
	if err := s.client.SetLevel(ctx, r); ctx.Err() != nil { //nolint:staticcheck // servers of the old revisions are still many
		return err // a refusal is the server's own business
	}
	return nil
}

// handshakeFault is err without anything that the server wrote.
func handshakeFault(ctx context.Context, err error) error {
	status, isStatus := errors.AsType[statusError](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isStatus:
		return status
	case errors.Is(err, transport.ErrAuthorizationRequired):
		return errForbidden
	case errors.Is(err, web.ErrRedirected):
		return web.ErrRedirected
	case errors.Is(err, transport.ErrLegacySSEServer), errors.Is(err, transport.ErrSessionTerminated):
		return errors.New("there is no MCP server over Streamable HTTP at this URL")
	default:
		return plain(err)
	}
}

// listen keeps a subscription to changes of what is listed open until ctx is done:
// since revision 2026-07-28 a server tells only those who ask.
func (s *session) listen(ctx context.Context) {
	delays := backoff.NewExponentialBackOff()
	for {
		started := time.Now()
		err := s.client.Listen(ctx, s.filter)
		if ctx.Err() != nil || errors.Is(err, mcp.ErrMethodNotFound) {
			return
		}
		if time.Since(started) > time.Minute {
			delays.Reset()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(delays.NextBackOff()):
		}
	}
}
