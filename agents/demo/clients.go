package demo

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Parameters of the token endpoint that only this issuer knows.
const (
	// ParamMayAct names, with a code, the one agent that may exchange the token (may_act).
	ParamMayAct = "demo_may_act"
	// ParamLifetime asks for a shorter or longer life: whole seconds, 1 to 3600.
	ParamLifetime = "demo_lifetime"
	// ParamExpired set to "true" asks for a token that expired five minutes ago.
	ParamExpired = "demo_expired"
)

// MaxAskedLifetime bounds [ParamLifetime].
const MaxAskedLifetime = time.Hour

func readLifetime(form url.Values, usual time.Duration) (lifetime time.Duration, expired bool, problem *oauthError) {
	switch form.Get(ParamExpired) {
	case "":
	case "true":
		expired = true
	default:
		return 0, false, invalid("invalid_request", ParamExpired+" is true or left out")
	}
	if !form.Has(ParamLifetime) {
		return usual, expired, nil
	}
	seconds, err := strconv.Atoi(form.Get(ParamLifetime))
	if err != nil || seconds < 1 || seconds > int(MaxAskedLifetime/time.Second) {
		return 0, false, invalid("invalid_request", ParamLifetime+" is not between 1 and 3600 seconds")
	}
	return time.Duration(seconds) * time.Second, expired, nil
}

// authenticate tells which client posts (RFC 6749 section 2.3), and parses its form.
func (i *Issuer) authenticate(r *http.Request) (string, client, *oauthError) {
	refused := &oauthError{status: http.StatusUnauthorized, code: "invalid_client", why: "unknown client, or a wrong secret"}
	if err := r.ParseForm(); err != nil {
		return "", client{}, invalid("invalid_request", "the body is not a form, or too large")
	}
	if r.URL.RawQuery != "" {
		return "", client{}, invalid("invalid_request", "parameters belong in the body")
	}
	if name := repeated(r.PostForm); name != "" {
		return "", client{}, invalid("invalid_request", "a parameter is given twice")
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if basicID, basicSecret, ok := r.BasicAuth(); ok {
		decodedID, err1 := url.QueryUnescape(basicID)
		decodedSecret, err2 := url.QueryUnescape(basicSecret)
		if err1 != nil || err2 != nil || secret != "" || id != "" && id != decodedID {
			return "", client{}, refused
		}
		id, secret = decodedID, decodedSecret
	}
	c, ok := i.clients[id]
	if !ok || subtle.ConstantTimeCompare([]byte(c.secret), []byte(secret)) != 1 {
		return "", client{}, refused
	}
	return id, c, nil
}

// live gives the claims of a token that is neither expired nor revoked.
func (i *Issuer) live(token string) (*accessClaims, bool) {
	c, ok := i.signer.parse(token, time.Now())
	if !ok {
		return nil, false
	}
	_, revoked := i.revoked.get(c.ID)
	return c, !revoked
}

// serveIntrospect tells an agent whether a token is live (RFC 7662).
func (i *Issuer) serveIntrospect(w http.ResponseWriter, r *http.Request) {
	_, c, problem := i.authenticate(r)
	if problem == nil && c.secret == "" {
		problem = &oauthError{status: http.StatusUnauthorized, code: "invalid_client", why: "a client with a secret is required"}
	}
	if problem != nil {
		problem.write(w)
		return
	}
	claims, ok := i.live(r.PostForm.Get("token"))
	if !ok {
		reply(w, http.StatusOK, map[string]bool{"active": false})
		return
	}
	reply(w, http.StatusOK, struct {
		Active bool   `json:"active"`
		Type   string `json:"token_type"`
		*accessClaims
	}{true, "Bearer", claims})
}

// serveRevoke ends a token that was issued to the client that asks (RFC 7009).
func (i *Issuer) serveRevoke(w http.ResponseWriter, r *http.Request) {
	id, _, problem := i.authenticate(r)
	if problem != nil {
		problem.write(w)
		return
	}
	claims, ok := i.live(r.PostForm.Get("token"))
	switch {
	case !ok: // RFC 7009 section 2.2: nothing to revoke is no error
	case claims.ClientID != id:
		problem = invalid("unauthorized_client", "the token is another client's")
	case !i.revoked.put(claims.ID, struct{}{}, time.Unix(claims.Expires, 0)):
		problem = &oauthError{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", why: "too many tokens are revoked"}
	}
	if problem != nil {
		problem.write(w)
		return
	}
	w.WriteHeader(http.StatusOK)
}
