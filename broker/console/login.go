package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/login"
)

const (
	callbackPath = "/callback"
	maxNext      = 512 // bytes of a page's fragment
	maxACR       = 128 // bytes of what a login is asked to be
)

// serveLogin sends a person to an issuer: to the one that they chose, or to the only one.
func (c *Console) serveLogin(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	next := nextOf(query.Get("next"))
	issuer := query.Get("issuer")
	if issuer == "" && len(c.cfg.Issuers) > 1 {
		c.showChoice(w, next)
		return
	}
	if issuer == "" {
		issuer = c.cfg.Issuers[0]
	}
	p, ok := c.providers[issuer]
	if !ok {
		c.showProblem(w, http.StatusBadRequest, "Nobody logs in here by that issuer.", next)
		return
	}
	found, err := p.get(r.Context())
	if err != nil {
		c.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "issuer cannot be reached for a login", slog.String("issuer", issuer), slog.Any("error", err))
		c.showProblem(w, http.StatusBadGateway, "The issuer cannot be reached now. Try again in a moment.", next)
		return
	}
	a := attempt{
		Issuer: issuer, State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Next: next, Expires: time.Now().Add(loginTime),
	}
	acr := query.Get("acr")
	if len(acr) > maxACR {
		c.showProblem(w, http.StatusBadRequest, "No login has such a name.", next)
		return
	}
	sealed, err := c.sealer.seal(a)
	if err != nil {
		c.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "login cannot be begun", slog.Any("error", err))
		c.showProblem(w, http.StatusInternalServerError, "The login cannot be begun.", next)
		return
	}
	c.setCookie(w, c.loginCookie(), sealed, http.SameSiteLaxMode, a.Expires)
	http.Redirect(w, r, c.authorization(found, a, acr), http.StatusSeeOther)
}

// authorization is the address of an authorization request (RFC 6749 section 4.1.1,
// RFC 7636, RFC 8707), for a login of some strength if one is named.
func (c *Console) authorization(p *login.Provider, a attempt, acr string) string {
	client := c.cfg.client(a.Issuer)
	config := oauth2.Config{
		ClientID: client.ID, RedirectURL: c.cfg.URL + callbackPath, Scopes: append([]string{"openid"}, client.Scopes...),
		Endpoint: oauth2.Endpoint{AuthURL: p.AuthorizationEndpoint},
	}
	more := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(a.Verifier), oauth2.SetAuthURLParam("nonce", a.Nonce), oauth2.SetAuthURLParam("resource", c.resource()),
	}
	if acr != "" {
		more = append(more, oauth2.SetAuthURLParam("acr_values", acr))
	}
	return config.AuthCodeURL(a.State, more...)
}

func (c *Console) resource() string { return c.cfg.URL + "/mcp" }

// nextOf is the fragment to go on at after a login. It never leaves the page.
func nextOf(raw string) string {
	u, err := url.Parse("#" + strings.TrimPrefix(raw, "#"))
	if err != nil || len(raw) > maxNext || !strings.HasPrefix(u.Fragment, "/") {
		return ""
	}
	return u.EscapedFragment()
}

// loginError is why a login failed, in words for the person.
type loginError struct {
	status int
	public string
	cause  error
}

// Error is for the log.
func (e *loginError) Error() string {
	if e.cause == nil {
		return e.public
	}
	return e.cause.Error()
}

// Unwrap is the cause.
func (e *loginError) Unwrap() error { return e.cause }

// serveCallback receives a person from an issuer. The page that it answers with is
// of this site, so that what follows has the session's strict cookie.
func (c *Console) serveCallback(w http.ResponseWriter, r *http.Request) {
	a, err := c.attemptOf(r)
	c.setCookie(w, c.loginCookie(), "", http.SameSiteLaxMode, time.Time{})
	var id *agents.Identity
	if err == nil {
		id, err = c.finish(r.Context(), a, r.URL.Query())
	}
	if err != nil {
		c.refuseLogin(w, r, a, err)
		return
	}
	if old, err := r.Cookie(c.sessionCookie()); err == nil {
		c.sessions.end(old.Value)
	}
	c.setCookie(w, c.sessionCookie(), c.sessions.start(id), http.SameSiteStrictMode, id.Expires)
	c.showHop(w, a.Next)
}

// attemptOf is the login that this browser began.
func (c *Console) attemptOf(r *http.Request) (attempt, error) {
	const restart = "This is not the answer to a login that is under way in this browser. Log in again."
	cookie, err := r.Cookie(c.loginCookie())
	if err != nil {
		return attempt{}, &loginError{http.StatusBadRequest, restart, err}
	}
	a, err := c.sealer.open(cookie.Value, time.Now())
	if err != nil {
		return attempt{}, &loginError{http.StatusBadRequest, restart, err}
	}
	if subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("state")), []byte(a.State)) != 1 {
		return attempt{}, &loginError{http.StatusBadRequest, restart, errors.New("another state")}
	}
	return a, nil
}

// finish turns the issuer's answer into the identity that it proves.
func (c *Console) finish(ctx context.Context, a attempt, answer url.Values) (*agents.Identity, error) {
	code, p, err := c.codeOf(ctx, a, answer)
	if err != nil {
		return nil, err
	}
	select {
	case c.redeeming <- struct{}{}:
		defer func() { <-c.redeeming }()
	default:
		return nil, &loginError{http.StatusServiceUnavailable, "Too many people are logging in at once. Try again in a moment.", nil}
	}
	client := login.Client{Provider: p, ID: c.cfg.client(a.Issuer).ID, HTTP: c.cfg.HTTP[a.Issuer]}
	token, err := client.Redeem(ctx, login.Code{Code: login.Secret(code), Redirect: c.cfg.URL + callbackPath, Verifier: login.Secret(a.Verifier)},
		login.Target{Resource: c.resource()})
	if err != nil {
		return nil, &loginError{http.StatusBadGateway, "The issuer did not complete the login.", err}
	}
	if err := c.checkIDToken(token.ID, a); err != nil {
		return nil, &loginError{http.StatusBadGateway, "The issuer's answer does not belong to this login.", err}
	}
	return c.identityOf(ctx, a, token.Access)
}

// codeOf reads an authorization response (RFC 6749 section 4.1.2, RFC 9207).
func (c *Console) codeOf(ctx context.Context, a attempt, answer url.Values) (string, *login.Provider, error) {
	known, ok := c.providers[a.Issuer]
	if !ok {
		return "", nil, &loginError{http.StatusBadRequest, "Nobody logs in here by that issuer.", nil}
	}
	p, err := known.get(ctx)
	if err != nil {
		return "", nil, &loginError{http.StatusBadGateway, "The issuer cannot be reached now. Try again in a moment.", err}
	}
	if iss := answer.Get("iss"); (p.NamesItself || iss != "") && iss != p.Issuer {
		return "", nil, &loginError{http.StatusBadRequest, "The answer is of another issuer than the one that was asked.", nil}
	}
	if code := answer.Get("error"); code != "" {
		return "", nil, &loginError{http.StatusForbidden, "The issuer did not log you in.", &login.GrantError{Code: clip(code)}}
	}
	if answer.Get("code") == "" || len(answer["code"]) > 1 {
		return "", nil, &loginError{http.StatusBadRequest, "The issuer's answer is not complete.", nil}
	}
	return answer.Get("code"), p, nil
}

// checkIDToken ties the tokens to the browser that began the login. The ID token came
// straight from the issuer's token endpoint, which stands for its signature (OpenID
// Connect Core section 3.1.3.7); who the person is, the access token proves.
func (c *Console) checkIDToken(raw login.Secret, a attempt) error {
	parts := strings.Split(string(raw), ".")
	if len(parts) != 3 {
		return errors.New("there is no ID token")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return errors.New("the ID token is malformed")
	}
	var claims struct {
		Issuer   string   `json:"iss"`
		Audience audience `json:"aud"`
		Nonce    string   `json:"nonce"`
	}
	if err := json.Unmarshal(body, &claims); err != nil {
		return errors.New("the ID token is malformed") // the cause would quote it
	}
	switch {
	case claims.Issuer != a.Issuer:
		return errors.New("the ID token is of another issuer")
	case !slices.Contains(claims.Audience, c.cfg.client(a.Issuer).ID):
		return errors.New("the ID token is for another client")
	case subtle.ConstantTimeCompare([]byte(claims.Nonce), []byte(a.Nonce)) != 1:
		return errors.New("the ID token is of another login")
	}
	return nil
}

// audience is one string or several (RFC 7519 section 4.1.3).
type audience []string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *audience) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(a))
	}
	*a = audience{""}
	return json.Unmarshal(b, &(*a)[0])
}

// identityOf is the person that the access token proves, and nobody else.
func (c *Console) identityOf(ctx context.Context, a attempt, access login.Secret) (*agents.Identity, error) {
	id, err := c.cfg.Verifier.Verify(ctx, agents.Credential{Token: string(access)})
	if err != nil {
		if rejected, ok := errors.AsType[*agents.Rejection](err); ok {
			c.cfg.Reject(context.WithoutCancel(ctx), rejected)
			return nil, &loginError{http.StatusForbidden, "The issuer's token is not accepted here: " + rejected.Public() + ".", err}
		}
		return nil, &loginError{http.StatusBadGateway, "The issuer's token cannot be checked now. Try again in a moment.", err}
	}
	refuse := func(kind agents.Kind) {
		c.cfg.Reject(context.WithoutCancel(ctx), &agents.Rejection{Kind: kind, Issuer: id.Issuer, Identity: id})
	}
	switch {
	case id.Issuer != a.Issuer:
		refuse(agents.UnknownIssuer)
		return nil, &loginError{http.StatusForbidden, "The token is of another issuer than the one that was asked.", nil}
	case !id.Person():
		refuse(agents.NotAPerson)
		return nil, &loginError{
			http.StatusForbidden, "Only people log in here, and the token that the issuer gave has an agent in it.",
			fmt.Errorf("the token has a chain of %d actors", len(id.Chain)),
		}
	case !time.Now().Before(id.Expires):
		refuse(agents.Expired)
		return nil, &loginError{http.StatusForbidden, "The token that the issuer gave has expired already.", nil}
	}
	return id, nil
}

func (c *Console) refuseLogin(w http.ResponseWriter, r *http.Request, a attempt, err error) {
	status, public := http.StatusInternalServerError, "The login failed."
	if e, ok := errors.AsType[*loginError](err); ok {
		status, public = e.status, e.public
	}
	c.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, "login failed", slog.String("issuer", a.Issuer), slog.Any("error", err))
	c.showProblem(w, status, public, a.Next)
}

// serveLogout ends the session of the browser that asks from the console's own page.
func (c *Console) serveLogout(w http.ResponseWriter, r *http.Request) {
	if err := c.origins.Check(r); err != nil || (r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "") {
		c.cfg.Reject(context.WithoutCancel(r.Context()), &agents.Rejection{Kind: agents.ForeignOrigin})
		c.showProblem(w, http.StatusForbidden, "Only the console's own page can log you out.", "")
		return
	}
	if cookie, err := r.Cookie(c.sessionCookie()); err == nil {
		c.sessions.end(cookie.Value)
	}
	c.setCookie(w, c.sessionCookie(), "", http.SameSiteStrictMode, time.Time{})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// clip keeps what an issuer says, through the browser, short and printable.
func clip(s string) string {
	const limit = 64
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), limit)]
}
