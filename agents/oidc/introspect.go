package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/deedbroker/deed/agents"
)

// Bounds on what tokens that nobody has seen before can make an issuer do.
const (
	askedAtOnce = 16 // requests to one issuer under way
	newPerSec   = 20 // opaque tokens that were not accepted before, asked about in a second
	newBurst    = 100

	// refusedFor is how long an issuer's word that a token is not in force is taken. A
	// token may come into force while it is so.
	refusedFor = 5 * time.Second
)

// introspector asks one issuer about tokens (RFC 7662).
type introspector struct {
	Introspection
	source *provider
	turns  chan struct{} // as many as may ask at once
	strays *rate.Limiter
	flight singleflight.Group
}

func newIntrospector(in Introspection, source *provider) *introspector {
	return &introspector{Introspection: in, source: source, turns: make(chan struct{}, askedAtOnce), strays: rate.NewLimiter(newPerSec, newBurst)}
}

// answer is what an issuer says of one token.
type answer struct {
	claims    claimSet
	rejection *agents.Rejection
}

// about gives the issuer's word on a token, the same to all who ask at the same time.
func (n *introspector) about(ctx context.Context, token string, digest tokenDigest) (claimSet, *agents.Rejection) {
	said, _, _ := n.flight.Do(string(digest[:]), func() (any, error) {
		// Whoever asked first may leave; the others still want to know.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.source.timeout)
		defer cancel()
		select {
		case n.turns <- struct{}{}:
			defer func() { <-n.turns }()
		case <-ctx.Done():
			return answer{rejection: refuse(agents.TooMany, "too many requests to the issuer are under way")}, nil
		}
		c, err := n.post(ctx, token)
		if err != nil {
			return answer{rejection: &agents.Rejection{Kind: agents.ProviderTrouble, Err: fmt.Errorf("introspect token: %w", err)}}, nil
		}
		return answer{claims: c}, nil
	})
	a := said.(answer) // nothing else is returned above
	if a.rejection != nil {
		r := *a.rejection
		return nil, &r
	}
	if string(a.claims["active"]) != "true" {
		return nil, refuse(agents.Inactive, "the issuer says that the token is not active")
	}
	return a.claims, nil
}

func (n *introspector) post(ctx context.Context, token string) (c claimSet, err error) {
	at := n.Endpoint
	if found := n.source.introspection.Load(); at == "" && found != nil {
		at = *found
	}
	if at == "" {
		return nil, errors.New("the issuer's metadata names no introspection endpoint that may be used")
	}
	secret, err := n.Secret()
	if err != nil {
		return nil, err
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, brief(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(n.ClientID), url.QueryEscape(secret))
	response, err := n.source.peer.Client().Do(request)
	if err != nil {
		return nil, brief(err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, brief(err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answered %d", response.StatusCode)
	}
	c, ok := decodeClaims(body)
	if !ok || (string(c["active"]) != "true" && string(c["active"]) != "false") {
		return nil, errors.New("the issuer's answer is not one to an introspection")
	}
	return c, nil
}

// ask is e with the issuer's fresh word that the token is in force.
func (v *Verifier) ask(ctx context.Context, e *entry, token string) (*entry, *agents.Rejection) {
	if known := v.refused.get(e.digest, time.Now()); known != nil {
		r := *known.refused
		return nil, &r
	}
	if rejection := v.askAgain(ctx, e, token); rejection != nil {
		return nil, v.refuseFor(e.issuer, e.digest, rejection)
	}
	fresh := *e
	fresh.asked, fresh.token = time.Now(), token
	return &fresh, nil
}

// askAgain asks the issuer about a token that verified. That it was withdrawn is told.
func (v *Verifier) askAgain(ctx context.Context, e *entry, token string) *agents.Rejection {
	_, rejection := e.issuer.asks.about(ctx, token, e.digest)
	if rejection != nil && rejection.Kind == agents.Inactive && v.config.Withdrawn != nil {
		v.config.Withdrawn(ctx, e.identity)
	}
	return rejection
}

// refuseFor remembers for a moment that an issuer does not know or want a token.
func (v *Verifier) refuseFor(i *issuer, digest tokenDigest, r *agents.Rejection) *agents.Rejection {
	r.Issuer = i.URL
	if !r.Temporary() {
		kept := *r
		v.refused.put(&entry{digest: digest, issuer: i, until: time.Now().Add(refusedFor), refused: &kept})
	}
	return r
}

// findOpaque has the issuer say everything about a token that says nothing itself.
func (v *Verifier) findOpaque(ctx context.Context, token string, digest tokenDigest) (*entry, *agents.Rejection) {
	i := v.opaque
	if known := v.refused.get(digest, time.Now()); known != nil {
		r := *known.refused
		return nil, &r
	}
	if !i.asks.strays.Allow() {
		return nil, &agents.Rejection{Kind: agents.TooMany, Issuer: i.URL, Err: errors.New("more new opaque tokens than the issuer is asked about")}
	}
	c, rejection := i.asks.about(ctx, token, digest)
	var e *entry
	if rejection == nil {
		e, rejection = v.admitOpaque(i, c, digest)
	}
	if rejection != nil {
		return nil, v.refuseFor(i, digest, rejection)
	}
	e.asked, e.token = time.Now(), token
	v.cache.put(e)
	return e, nil
}

// admitOpaque checks an introspection answer as the claims of a token.
func (v *Verifier) admitOpaque(i *issuer, c claimSet, digest tokenDigest) (*entry, *agents.Rejection) {
	if c.hasVariant() {
		return nil, refuse(agents.Malformed, "a claim differs from a registered one in case only")
	}
	if iss, rejection := c.text("iss"); rejection != nil || c.has("iss") && iss != i.URL {
		return nil, refuse(agents.UnknownIssuer, "the issuer says that the token is another issuer's")
	}
	if kind, _ := c.text("token_type"); kind != "" && !strings.EqualFold(kind, "bearer") && !strings.EqualFold(kind, "dpop") {
		return nil, refuse(agents.WrongType, "not an access token")
	}
	audience, rejection := texts(c["aud"], "aud")
	if rejection != nil {
		return nil, rejection
	}
	if !i.meant(audience) {
		return nil, refuse(agents.WrongAudience, "aud does not hold the audience of this resource")
	}
	if !c.has("iat") { // optional in RFC 7662: counted from now
		c["iat"] = jsontext.Value(fmt.Sprint(time.Now().Unix()))
	}
	return v.admit(i, c, digest)
}

// InForce asks the issuer once more about a token that was verified before, for whoever
// is about to act on it after a while. It returns nil if the issuer still wants it, and
// also if there is nothing to ask: the issuer is not configured for it, or the token has
// expired meanwhile or is not remembered. Its error is a *[agents.Rejection].
func (v *Verifier) InForce(ctx context.Context, id *agents.Identity) error {
	sum, err := hex.DecodeString(id.TokenDigest)
	if err != nil || len(sum) != sha256.Size {
		return nil //nolint:nilerr // not a digest of ours: nothing is known of the token
	}
	e := v.cache.get(tokenDigest(sum), time.Now())
	if e == nil || e.token == "" || e.issuer.asks == nil {
		return nil
	}
	if rejection := v.askAgain(ctx, e, e.token); rejection != nil {
		rejection.Issuer = e.issuer.URL
		return rejection
	}
	return nil
}
