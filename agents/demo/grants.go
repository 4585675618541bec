package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	grantCode        = "authorization_code"
	grantCredentials = "client_credentials"
	grantExchange    = "urn:ietf:params:oauth:grant-type:token-exchange"

	accessTokenType = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // the name of a kind of token

	maxChain = 5 // agents in a chain
)

// granted is what the token endpoint will answer.
type granted struct {
	claims   *accessClaims
	lifetime time.Duration
	id       *idClaims // for a sign-in with the scope openid
	exchange bool
}

// serveToken is the token endpoint.
func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	id, c, problem := i.authenticate(r)
	if problem != nil {
		problem.write(w)
		return
	}
	var g *granted
	switch r.PostForm.Get("grant_type") {
	case grantCode:
		g, problem = i.redeem(id, r.PostForm)
	case grantCredentials:
		g, problem = i.credentials(id, c, r.PostForm)
	case grantExchange:
		g, problem = i.exchange(id, c, r.PostForm)
	default:
		problem = invalid("unsupported_grant_type", "")
	}
	if problem != nil {
		if problem.widens && i.config.Widened != nil {
			i.config.Widened(r.Context())
		}
		problem.write(w)
		return
	}
	i.answer(w, g)
}

// redeem is for people: a code for a token (RFC 6749 section 4.1.3, RFC 7636).
func (i *Issuer) redeem(id string, form url.Values) (*granted, *oauthError) {
	refused := invalid("invalid_grant", "the code is unknown, used, expired, or was given for another request")
	a, ok := i.codes.get(form.Get("code"))
	if !ok {
		return nil, refused
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used { // whoever has it twice may not be who it was given to
		if a.issued != nil {
			i.revoked.put(a.issued.ID, struct{}{}, time.Unix(a.issued.Expires, 0))
		}
		return nil, refused
	}
	a.used = true // one try, right or wrong
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	proof := base64.RawURLEncoding.EncodeToString(sum[:])
	if a.clientID != id || a.redirect != form.Get("redirect_uri") || subtle.ConstantTimeCompare([]byte(proof), []byte(a.challenge)) != 1 {
		return nil, refused
	}
	if resource, problem := i.resource(form); problem != nil || len(form["resource"]) > 0 && resource != a.resource {
		return nil, invalid("invalid_target", "the code is for another resource")
	}
	roles := i.config.Users[a.user]
	g := &granted{claims: &accessClaims{
		Subject: a.user, Audience: []string{a.resource}, ClientID: id, Scope: a.scope, Session: a.session, ACR: a.acr, Roles: roles,
	}}
	if agent := form.Get(ParamMayAct); agent != "" {
		g.claims.MayAct = &actor{Subject: agent, ClientID: agent}
	}
	if problem := i.stamp(g, form, i.config.PersonLifetime); problem != nil {
		return nil, problem
	}
	a.issued = g.claims
	if slices.Contains(strings.Fields(a.scope), "openid") {
		g.id = &idClaims{
			Issuer: i.config.URL, Subject: a.user, Audience: id, IssuedAt: g.claims.IssuedAt, Expires: g.claims.Expires,
			Nonce: a.nonce, Session: a.session, Roles: roles,
		}
	}
	return g, nil
}

// credentials is for agents on their own (RFC 6749 section 4.4).
func (i *Issuer) credentials(id string, c client, form url.Values) (*granted, *oauthError) {
	if c.secret == "" {
		return nil, invalid("unauthorized_client", "only agents have credentials")
	}
	resource, problem := i.resource(form)
	if problem == nil {
		problem = checkScope(form.Get("scope"))
	}
	if problem != nil {
		return nil, problem
	}
	g := &granted{claims: &accessClaims{Subject: id, Audience: []string{resource}, ClientID: id, Scope: form.Get("scope")}}
	return g, i.stamp(g, form, i.config.AgentLifetime)
}

// exchange is for agents that act for somebody (RFC 8693): whoever authenticates
// becomes the current actor. Neither scope nor lifetime ever widens.
func (i *Issuer) exchange(id string, c client, form url.Values) (*granted, *oauthError) {
	subject, problem := i.subjectToken(id, c, form)
	if problem != nil {
		return nil, problem
	}
	resource, problem := i.narrowed(form, subject)
	if problem != nil {
		return nil, problem
	}
	scope := subject.Scope
	if asked := form.Get("scope"); asked != "" {
		for name := range strings.FieldsSeq(asked) {
			if !slices.Contains(strings.Fields(subject.Scope), name) {
				return nil, widening("invalid_scope", "the subject token does not have one of the scopes")
			}
		}
		scope = asked
	}
	if subject.Act.depth() >= maxChain {
		return nil, widening("invalid_target", "the chain of agents is too long")
	}
	g := &granted{exchange: true, claims: &accessClaims{
		Subject: subject.Subject, Audience: []string{resource}, ClientID: id, Scope: scope, Session: subject.Session, ACR: subject.ACR,
		Roles: subject.Roles, Act: &actor{Subject: id, ClientID: id, Act: subject.Act},
	}}
	if problem := i.stamp(g, form, i.config.AgentLifetime); problem != nil {
		return nil, problem
	}
	if g.claims.Expires > subject.Expires {
		g.claims.Expires = subject.Expires
		g.lifetime = time.Until(time.Unix(subject.Expires, 0))
	}
	return g, nil
}

// subjectToken is the token to act upon, if this client may.
func (i *Issuer) subjectToken(id string, c client, form url.Values) (*accessClaims, *oauthError) {
	if c.secret == "" {
		return nil, invalid("unauthorized_client", "only agents act for others")
	}
	if form.Get("subject_token_type") != accessTokenType {
		return nil, invalid("invalid_request", "subject_token_type is not an access token")
	}
	if asked := form.Get("requested_token_type"); asked != "" && asked != accessTokenType {
		return nil, invalid("invalid_request", "only access tokens are issued")
	}
	subject, ok := i.live(form.Get("subject_token"))
	if !ok {
		return nil, invalid("invalid_grant", "subject_token is not a live access token of this issuer")
	}
	if form.Has("actor_token") {
		actor, ok := i.live(form.Get("actor_token"))
		if !ok || form.Get("actor_token_type") != accessTokenType || actor.Subject != id || actor.Act != nil {
			return nil, invalid("invalid_request", "actor_token is not this client's own")
		}
	}
	if _, person := i.config.Users[subject.Subject]; !person {
		return nil, invalid("invalid_request", "no person stands behind subject_token")
	}
	if !i.clients[subject.ClientID].isPeoplesOwn && !slices.Contains(c.actsFor, subject.ClientID) {
		return nil, widening("invalid_target", "this agent may not act for the holder of subject_token")
	}
	if subject.MayAct != nil && subject.MayAct.Subject != id {
		return nil, widening("invalid_target", "subject_token lets another agent act")
	}
	return subject, nil
}

// narrowed is what an exchanged token is meant for: what its subject token is, or the part
// of that which is asked for.
func (i *Issuer) narrowed(form url.Values, subject *accessClaims) (string, *oauthError) {
	if len(form["resource"]) == 0 && len(form["audience"]) == 0 && len(subject.Audience) == 1 {
		return subject.Audience[0], nil
	}
	resource, problem := i.resource(form)
	covers := func(a string) bool { return a == resource || strings.HasPrefix(resource, a+"/") }
	if problem == nil && !slices.ContainsFunc(subject.Audience, covers) {
		problem = widening("invalid_target", "the subject token is not meant for this resource")
	}
	return resource, problem
}

// stamp sets issuer, ID and times; [Config] and the demo's own parameters bound them.
func (i *Issuer) stamp(g *granted, form url.Values, lifetime time.Duration) *oauthError {
	lifetime, expired, problem := readLifetime(form, lifetime)
	if problem != nil {
		return problem
	}
	now := time.Now()
	if expired {
		const age = 10 * time.Minute
		now, lifetime = now.Add(-age), age/2
	}
	g.claims.Issuer, g.claims.ID = i.config.URL, rand.Text()
	g.claims.IssuedAt, g.claims.Expires = now.Unix(), now.Add(lifetime).Unix()
	g.lifetime = lifetime
	if expired {
		g.lifetime = 0
	}
	return nil
}

func (i *Issuer) answer(w http.ResponseWriter, g *granted) {
	token, err := i.signer.sign(typeAccessToken, g.claims)
	if err != nil {
		reply(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	out := map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": max(0, int64(g.lifetime/time.Second)), "scope": g.claims.Scope,
	}
	if g.exchange {
		out["issued_token_type"] = accessTokenType
	}
	if g.id != nil {
		if out["id_token"], err = i.signer.sign(typeIDToken, g.id); err != nil {
			reply(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
			return
		}
	}
	reply(w, http.StatusOK, out)
}
