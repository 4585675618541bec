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

const maxToken = 16 << 10

// guard lets a request through to next once its origin is acceptable and its
// caller known. It reads nothing but headers.
func (h *Handler) guard(next func(http.ResponseWriter, *http.Request, *agents.Identity)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.origins.accept(r) {
			problem(w, http.StatusForbidden, "denied", "requests of this origin are not accepted")
			return
		}
		token, refused := bearer(r.Header)
		if refused != nil {
			h.reject(w, r, refused)
			return
		}
		id, err := h.cfg.Verifier.Verify(r.Context(), token)
		if err == nil {
			next(w, r, id)
			return
		}
		if rejection, ok := errors.AsType[*agents.Rejection](err); ok {
			h.reject(w, r, &refusedToken{rejection: rejection, sent: true})
			return
		}
		h.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "token verification failed", slog.Any("error", err))
		problem(w, http.StatusInternalServerError, "internal", "internal error")
	})
}

// refusedToken is a rejection with how it is answered.
type refusedToken struct {
	rejection *agents.Rejection
	sent      bool // a token was presented
	malformed bool // the header itself is at fault (RFC 6750 section 3.1, invalid_request)
}

// bearer reads the token of an Authorization header (RFC 6750 section 2.1).
func bearer(header http.Header) (string, *refusedToken) {
	values := header["Authorization"]
	if len(values) == 0 {
		return "", &refusedToken{rejection: &agents.Rejection{Kind: agents.Missing}}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch {
	case len(values) > 1:
		return "", malformedHeader("more than one Authorization header")
	case !strings.EqualFold(scheme, "bearer"):
		return "", &refusedToken{rejection: &agents.Rejection{Kind: agents.Missing, Err: errors.New("another authentication scheme")}}
	case len(token) > maxToken:
		return "", malformedHeader("token too long")
	case !isToken68(token):
		return "", malformedHeader("not a bearer token")
	}
	return token, nil
}

func malformedHeader(reason string) *refusedToken {
	return &refusedToken{rejection: &agents.Rejection{Kind: agents.Malformed, Err: errors.New(reason)}, sent: true, malformed: true}
}

// isToken68 reports whether s is a b64token of RFC 6750.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for _, c := range []byte(body) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return true
}

// reject answers a request without an acceptable token, as RFC 6750 section 3 and
// RFC 9728 section 5.1 say.
func (h *Handler) reject(w http.ResponseWriter, r *http.Request, t *refusedToken) {
	h.cfg.Reject(context.WithoutCancel(r.Context()), t.rejection)
	if t.rejection.Kind == agents.ProviderTrouble {
		w.Header().Set("Retry-After", "5")
		problem(w, http.StatusServiceUnavailable, "unauthenticated", t.rejection.Public())
		return
	}
	status, code := http.StatusUnauthorized, "invalid_token"
	if t.malformed {
		status, code = http.StatusBadRequest, "invalid_request"
	}
	challenge := `Bearer resource_metadata="` + h.cfg.URL + metadataPath + r.URL.EscapedPath() + `"`
	if t.sent {
		challenge += `, error="` + code + `", error_description="` + t.rejection.Public() + `"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	problem(w, status, "unauthenticated", t.rejection.Public())
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
