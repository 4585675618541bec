package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
)

// Sessions resolves the cookies of people who are logged in at the console.
type Sessions interface {
	// Identity is who the request's cookie stands for; false without a valid one.
	Identity(r *http.Request) (*agents.Identity, bool)
}

// AuthConfig is what an [Authenticator] needs. All but Sessions are required.
type AuthConfig struct {
	Verifier agents.Verifier
	Sessions Sessions // nil: tokens only
	// Revocations ends sessions; may be nil. What ends tokens is the Verifier.
	Revocations agents.Revocations
	URL         string // canonical: scheme and host
	// Reject is told of every request whose token was not accepted.
	Reject func(context.Context, *agents.Rejection)
	Logger *slog.Logger
}

// Authenticator says who makes a request: by its bearer token, else by its
// session cookie. A request that carries both is judged by its token alone.
type Authenticator struct {
	cfg     AuthConfig
	origins *http.CrossOriginProtection
}

// NewAuthenticator checks cfg.
func NewAuthenticator(cfg AuthConfig) (*Authenticator, error) {
	if cfg.Verifier == nil || cfg.Reject == nil || cfg.Logger == nil {
		return nil, errors.New("configure authentication: verifier, reject and logger are required")
	}
	u, err := url.Parse(cfg.URL)
	if err == nil && (u.Host == "" || u.Path != "" || (u.Scheme != "http" && u.Scheme != "https")) {
		err = errors.New("it must be http(s)://host[:port] and nothing else")
	}
	a := &Authenticator{cfg: cfg, origins: http.NewCrossOriginProtection()}
	if err == nil {
		err = a.origins.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	if err != nil {
		return nil, fmt.Errorf("configure authentication: canonical url: %w", err)
	}
	return a, nil
}

// rejection is why a request has no identity, with how it is answered.
type rejection struct {
	*agents.Rejection
	cookie bool // a session was presented, and is not good any more
}

// Unwrap is the rejection of the token.
func (r *rejection) Unwrap() error { return r.Rejection }

// Require gives the identity behind a request. Without one, or when a page of
// another site uses a person's cookie, it answers the request and returns false.
func (a *Authenticator) Require(w http.ResponseWriter, r *http.Request) (*agents.Identity, bool) {
	id, session, err := a.identify(r.Context(), r, func(nonce string) { w.Header().Set(agents.NonceHeader, nonce) })
	if err == nil && session && !a.sameSite(r) {
		a.Refuse(r.Context(), &agents.Rejection{Kind: agents.ForeignOrigin, Issuer: id.Issuer, Identity: id})
		WriteProblem(w, Problem{Status: http.StatusForbidden, Kind: "denied", Detail: "a session is only for requests of the console's own pages"})
		return nil, false
	}
	if err == nil {
		return id, true
	}
	if refused, ok := errors.AsType[*rejection](err); ok {
		a.refuse(w, r, refused)
		return nil, false
	}
	a.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "token verification failed", slog.Any("error", err))
	WriteProblem(w, Problem{Status: http.StatusInternalServerError, Kind: "internal", Detail: "internal error"})
	return nil, false
}

// Refuse counts a request that was refused, though its credentials may be good.
func (a *Authenticator) Refuse(ctx context.Context, r *agents.Rejection) {
	a.cfg.Reject(context.WithoutCancel(ctx), r)
}

// Recheck is nil while the credentials of r, which were good once, still are. Its
// error is a *[agents.Rejection] when they are not.
func (a *Authenticator) Recheck(ctx context.Context, r *http.Request) error {
	_, _, err := a.identify(ctx, r, nil)
	if refused, ok := errors.AsType[*rejection](err); ok {
		return refused.Rejection
	}
	return err
}

// identify finds out who asks, and whether by a session. A request that was accepted before,
// and goes on, has no answer to tell a nonce in.
func (a *Authenticator) identify(ctx context.Context, r *http.Request, nonce func(string)) (id *agents.Identity, session bool, err error) {
	shown, refused := agents.FromRequest(r, a.cfg.URL)
	if refused != nil && refused.Kind == agents.Missing && len(r.Header["Authorization"]) == 0 {
		id, err = a.bySession(r)
		return id, err == nil, err
	}
	if refused != nil {
		return nil, false, &rejection{Rejection: refused}
	}
	shown.Again, shown.NextNonce = nonce == nil, nonce
	id, err = a.cfg.Verifier.Verify(ctx, shown)
	if rejected, ok := errors.AsType[*agents.Rejection](err); ok {
		return nil, false, &rejection{Rejection: rejected}
	}
	return id, false, err
}

func (a *Authenticator) bySession(r *http.Request) (*agents.Identity, error) {
	if a.cfg.Sessions == nil {
		return nil, &rejection{Rejection: &agents.Rejection{Kind: agents.Missing}}
	}
	id, ok := a.cfg.Sessions.Identity(r)
	switch {
	case !ok || id == nil:
		return nil, &rejection{Rejection: &agents.Rejection{Kind: agents.Missing}}
	case !time.Now().Before(id.Expires):
		return nil, &rejection{Rejection: &agents.Rejection{Kind: agents.Expired}, cookie: true}
	}
	if a.cfg.Revocations != nil {
		if revoked := a.cfg.Revocations.Denied(id); revoked != nil {
			return nil, &rejection{Rejection: revoked, cookie: true}
		}
	}
	return id, nil
}

// sameSite reports whether a request by cookie may do what it asks for: reading
// always, everything else only from the console's own pages, which must be told by
// the browser.
func (a *Authenticator) sameSite(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return false
	}
	return a.origins.Check(r) == nil
}

// refuse answers a request without acceptable credentials (RFC 6750 section 3).
func (a *Authenticator) refuse(w http.ResponseWriter, r *http.Request, refused *rejection) {
	if !refused.cookie || refused.Kind == agents.Revoked {
		a.Refuse(r.Context(), refused.Rejection)
	}
	p := Problem{Status: http.StatusUnauthorized, Kind: kindUnauthenticated, Detail: refused.Public()}
	switch {
	case refused.Temporary():
		p.Status, p.RetryAfter = http.StatusServiceUnavailable, 5
		WriteProblem(w, p)
		return
	case refused.Barred: // a new token would not help: no challenge to get one
		p.Status, p.Kind = http.StatusForbidden, broker.Denied.String()
		WriteProblem(w, p)
		return
	case refused.Kind == agents.Revoked && refused.cookie:
		p.Detail = "the session has been revoked: log in again"
	case refused.cookie:
		p.Detail = "the session has expired: log in again"
	case errors.Is(refused.Rejection, agents.ErrHeader):
		p.Status = http.StatusBadRequest
	}
	w.Header().Set("WWW-Authenticate", refused.Challenge(a.cfg.URL+"/.well-known/oauth-protected-resource", ""))
	WriteProblem(w, p)
}

// WhoAmI is an identity as its bearer sees it.
type WhoAmI struct {
	Issuer    string    `json:"issuer"`
	Principal string    `json:"principal"`
	Chain     []string  `json:"chain"`  // who acts, the current actor first; empty for a person
	Roles     []string  `json:"roles"`  // of the principal
	Person    bool      `json:"person"` // only a person may approve
	Expires   time.Time `json:"expires"`
}

// WhoIs describes an identity.
func WhoIs(id *agents.Identity) WhoAmI {
	who := WhoAmI{
		Issuer: id.Issuer, Principal: id.Principal, Chain: []string{}, Roles: append([]string{}, id.Roles...),
		Person: id.Person(), Expires: utc(id.Expires),
	}
	for _, a := range id.Chain {
		who.Chain = append(who.Chain, a.ID)
	}
	return who
}
