package upstream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/mark3labs/mcp-go/client/transport"

	"github.com/deedbroker/deed/tools/web"
)

// longestCall is when mcp-go gives up on an answer: never before the call's own limit.
const longestCall = 24 * time.Hour

// connectSSE connects over HTTP with server-sent events, as revision 2024-11-05 has it: one stream
// brings all that the server says, and each message to it is posted. Such a server can ask
// its callers nothing: it is told that nobody can be asked.
func connectSSE(ctx context.Context, c HTTPConfig, u *url.URL, changed func()) (*session, error) {
	base := c.Transport
	if base == nil {
		base = web.Transport()
	}
	s := newSession()
	s.http = true
	httpClient := &http.Client{
		Transport:     &limitedTransport{base: &homebound{c.authorized(base), u}, most: c.MaxAnswer, s: s},
		CheckRedirect: web.SameHost(u),
	}
	t, err := transport.NewSSE(u.String(),
		transport.WithHTTPClient(httpClient),
		transport.WithHeaders(c.Headers),
		transport.WithSSELogger(slog.New(slog.DiscardHandler)), // it logs what the server sends
		transport.WithEndpointTimeout(httpStart),
		transport.WithResponseTimeout(longestCall))
	if err != nil {
		return nil, errors.New("connect: the URL is not valid")
	}
	t.SetConnectionLostHandler(func(error) { s.lose(errClosedStream) })
	ctx, end := context.WithCancel(ctx)
	s.release = func() {
		end()
		_ = t.Close() // its stream has ended
		base.CloseIdleConnections()
	}
	if _, err := s.shake(ctx, t, httpStart, true, changed); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

// homebound sends nothing to another host than the one that was configured: a server says
// itself where messages to it are posted.
type homebound struct {
	base http.RoundTripper
	home *url.URL
}

// RoundTrip implements [http.RoundTripper].
func (h *homebound) RoundTrip(r *http.Request) (*http.Response, error) {
	if web.Within(h.home, r.URL) {
		return h.base.RoundTrip(r)
	}
	if r.Body != nil {
		_ = r.Body.Close() // nothing of it is read
	}
	return nil, web.ErrRedirected
}
