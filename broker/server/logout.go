package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/agents/oidc"
	"github.com/deedbroker/deed/broker/httpapi"
)

const (
	// logoutPath is where issuers tell of logouts (OpenID Connect Back-Channel Logout 1.0).
	logoutPath   = "/backchannel-logout"
	maxLogout    = 64 << 10 // bytes of such a request
	viaLogout    = "backchannel_logout"
	logoutReason = "logged out at the issuer"
)

// serveLogout stops what an issuer says has been logged out, at every replica. It answers
// once that is on record.
func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusMethodNotAllowed, Kind: "invalid", Detail: "issuers post logout tokens here"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogout)
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "one logout_token is needed, in a form"})
		return
	}
	told, err := s.verifier.now.Load().VerifyLogout(r.Context(), r.PostForm.Get("logout_token"))
	if err == nil {
		err = s.broker.Signal(r.Context(), stopped(told), viaLogout)
	}
	if err == nil {
		return
	}
	p := httpapi.Problem{Status: http.StatusServiceUnavailable, Kind: "log_unavailable", Detail: "the logout could not be recorded; try again", RetryAfter: 5}
	if refused, ok := errors.AsType[*agents.Rejection](err); ok {
		s.broker.Reject(context.WithoutCancel(r.Context()), refused)
		p = httpapi.Problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "the logout token is not accepted"}
		if refused.Temporary() {
			p = httpapi.Problem{Status: http.StatusServiceUnavailable, Kind: "unauthenticated", Detail: refused.Public(), RetryAfter: 5}
		}
	} else {
		s.opt.Logger.LogAttrs(r.Context(), slog.LevelError, "logout not recorded", slog.Any("error", err))
	}
	httpapi.WriteProblem(w, p)
}

// stopped is what a logout stops: its session with all tokens that were exchanged from
// it, or all that the person had been given until then.
func stopped(l *oidc.Logout) denylist.Entry {
	if l.Session != "" {
		return denylist.Entry{Kind: denylist.Session, Issuer: l.Issuer, Value: l.Session, Reason: logoutReason}
	}
	// Times of tokens are in whole seconds: what was issued in the second of the logout is stopped too.
	return denylist.Entry{Kind: denylist.Principal, Issuer: l.Issuer, Value: l.Principal, IssuedBefore: l.Issued.Add(time.Second), Reason: logoutReason}
}
