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
)

// shake connects over t and agrees on a protocol revision. The session's context
// ctx ends with the connection; start bounds the handshake. It reports whether the
// server tells of changes to its tools.
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
	ctx, cancel := context.WithTimeout(ctx, start)
	defer cancel()
	result, err := s.client.Initialize(ctx, mcp.InitializeRequest{Params: mcp.InitializeParams{ClientInfo: s.self}})
	if err != nil {
		return false, fmt.Errorf("shake hands: %w", handshakeFault(ctx, err))
	}
	s.version = s.client.ProtocolVersion()
	return result.Capabilities.Tools != nil && result.Capabilities.Tools.ListChanged, nil
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
	case errors.Is(err, errRedirected):
		return errRedirected
	case errors.Is(err, transport.ErrLegacySSEServer), errors.Is(err, transport.ErrSessionTerminated):
		return errors.New("there is no MCP server over Streamable HTTP at this URL")
	default:
		return plain(err)
	}
}

// listen keeps a subscription to changes of the tools open until ctx is done: since
// revision 2026-07-28 a server tells only those who ask.
func (s *session) listen(ctx context.Context) {
	delays := backoff.NewExponentialBackOff()
	for {
		started := time.Now()
		err := s.client.Listen(ctx, mcp.SubscriptionFilter{ToolsListChanged: true})
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
