package mcpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/deedbroker/deed/agents"
)

// guard lets a request through to next once its origin is acceptable and its
// caller known. It reads nothing but headers.
func (h *Handler) guard(next func(http.ResponseWriter, *http.Request, *agents.Identity)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.origins.accept(r) {
			h.cfg.Reject(context.WithoutCancel(r.Context()), &agents.Rejection{Kind: agents.ForeignOrigin})
			problem(w, http.StatusForbidden, "denied", "requests of this origin are not accepted")
			return
		}
		shown, refused := agents.FromRequest(r, h.cfg.URL)
		if refused != nil {
			h.reject(w, r, refused)
			return
		}
		shown.NextNonce = func(nonce string) { w.Header().Set(agents.NonceHeader, nonce) }
		if upstream := r.PathValue("upstream"); upstream != "" {
			shown.Resource = h.cfg.URL + "/mcp/" + upstream
		}
		id, err := h.cfg.Verifier.Verify(r.Context(), shown)
		if err == nil {
			next(w, r, id)
			return
		}
		if rejection, ok := errors.AsType[*agents.Rejection](err); ok {
			h.reject(w, r, rejection)
			return
		}
		h.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "token verification failed", slog.Any("error", err))
		problem(w, http.StatusInternalServerError, "internal", "internal error")
	})
}

// reject answers a request without an acceptable token, as RFC 6750 section 3 and
// RFC 9728 section 5.1 say.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, refused *agents.Rejection) {
	h.cfg.Reject(context.WithoutCancel(r.Context()), refused)
	if refused.Temporary() {
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "unauthenticated", refused.Public())
		return
	}
	if refused.Barred { // a new token would not help: no challenge to get one
		problem(w, http.StatusForbidden, "denied", refused.Public())
		return
	}
	status := http.StatusUnauthorized
	if errors.Is(refused, agents.ErrHeader) {
		status = http.StatusBadRequest
	}
	w.Header().Set("WWW-Authenticate", refused.Challenge(h.metadataURL(r), h.cfg.Scopes.challenge(r.PathValue("upstream"))))
	problem(w, status, "unauthenticated", refused.Public())
}

// origins decides which web origins and hosts may send requests, against DNS rebinding
// (MCP Streamable HTTP, security warning).
type origins struct{ canonical *url.URL }

func (o origins) accept(r *http.Request) bool {
	if values, ok := r.Header["Origin"]; ok && (len(values) != 1 || !o.sameOrigin(values[0], r.Host)) {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || !isLoopback(local.String()) {
		return true
	}
	return isLoopback(r.Host) || strings.EqualFold(r.Host, o.canonical.Host)
}

// sameOrigin reports whether origin is the broker's own: that of its URL, or
// the loopback address by which this very request came.
func (o origins) sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if u.Scheme == o.canonical.Scheme && strings.EqualFold(u.Host, o.canonical.Host) {
		return true
	}
	return isLoopback(u.Host) && strings.EqualFold(u.Host, host)
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// repeatedHeader is the first header of the protocol that was sent more than once.
func repeatedHeader(header http.Header) string {
	for _, name := range transportHeaders {
		if len(header[name]) > 1 {
			return name
		}
	}
	return ""
}
