package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/dpop"
	"github.com/deedbroker/deed/agents/reach"
)

// Verifier checks tokens of the configured issuers. Its methods may be called
// concurrently.
type Verifier struct {
	config  Config
	issuers map[string]*issuer // by URL
	order   []*issuer
	cache   *cache
	refused *cache  // what issuers did not know or want any more, for a moment
	opaque  *issuer // whose tokens are no JWTs; nil if nobody's
	proofs  *dpop.Checker
	started atomic.Bool
	logouts usedLogouts
}

var _ agents.Verifier = (*Verifier)(nil)

type issuer struct {
	Issuer
	algorithms []string
	foreign    map[string]bool // prefixes of all issuers
	agents     map[string]Agent
	keys       *keySource
	asks       *introspector // nil if the issuer is not asked about tokens
}

// New checks the configuration and contacts nobody: until [Verifier.Run] has
// fetched an issuer's keys, its tokens are refused as [agents.ProviderTrouble].
// The error names everything that is wrong with the configuration.
func New(config Config) (*Verifier, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("configure token verification: %w", err)
	}
	v := &Verifier{
		config: config, issuers: make(map[string]*issuer),
		cache: newCache(config.CacheSize), refused: newCache(config.CacheSize), proofs: config.Proofs,
	}
	if v.proofs == nil {
		v.proofs = dpop.New(dpop.Config{})
	}
	v.config.Agents = maps.Clone(config.Agents)
	prefixes := make(map[string]bool)
	for _, i := range config.Issuers {
		prefixes[i.Prefix] = true
	}
	for _, i := range config.Issuers {
		added, err := v.newIssuer(i, prefixes)
		if err != nil {
			return nil, fmt.Errorf("configure token verification: issuer %q: %w", i.URL, err)
		}
		v.issuers[i.URL] = added
		v.order = append(v.order, added)
	}
	return v, nil
}

func (v *Verifier) newIssuer(i Issuer, prefixes map[string]bool) (*issuer, error) {
	added := &issuer{Issuer: i, algorithms: i.Algorithms, foreign: prefixes, agents: v.config.Agents}
	added.PeopleClients, added.Clients = slices.Clone(i.PeopleClients), maps.Clone(i.Clients)
	added.Audience = or(i.Audience, v.config.Audience)
	added.Claims.Roles = or(i.Claims.Roles, "roles")
	if len(added.algorithms) == 0 {
		added.algorithms = Algorithms()
	}
	var transport http.RoundTripper
	if v.config.Client != nil {
		transport = v.config.Client.Transport
	}
	peer, err := reach.New(i.URL, i.Hosts, v.config.FetchTimeout, transport)
	if err != nil {
		return nil, err
	}
	source := &provider{issuer: i.URL, peer: peer, timeout: v.config.FetchTimeout}
	added.keys = &keySource{
		fetch: source.fetch, interval: v.config.RefreshInterval, minInterval: v.config.MinFetchInterval, maxAge: v.config.MaxKeyAge,
		log: v.config.Logger.With(slog.String("issuer", i.URL)), nudge: make(chan struct{}, 1), attempt: make(chan struct{}),
	}
	if i.Introspection == nil {
		return added, nil
	}
	in := *i.Introspection
	in.Every = or(in.Every, DefaultIntrospectionEvery)
	if in.Endpoint != "" {
		if err := peer.Check(in.Endpoint); err != nil {
			return nil, fmt.Errorf("introspection endpoint: %w", err)
		}
	}
	added.Introspection = &in
	added.asks = newIntrospector(in, source)
	if in.Opaque {
		v.opaque = added
	}
	return added, nil
}

// Run fetches the keys of all issuers and keeps them fresh until ctx is done. It
// returns nil then, and an error only if it was called before. An issuer that
// cannot be reached is tried again, and holds up no other.
func (v *Verifier) Run(ctx context.Context) error {
	if v.started.Swap(true) {
		return errors.New("fetch keys: already running")
	}
	var group sync.WaitGroup
	for _, i := range v.order {
		group.Go(func() { i.keys.run(ctx) })
	}
	group.Wait()
	return nil
}

// IssuerHealth is the state of one issuer's keys.
type IssuerHealth struct {
	Issuer  string    `json:"issuer"`
	Ready   bool      `json:"ready"` // its tokens can be verified
	Keys    int       `json:"keys"`
	Fetched time.Time `json:"fetched,omitzero"` // last time that the keys came
	Trouble string    `json:"trouble,omitempty"`
}

// Health is the state of every issuer, in the configuration's order. A ready
// issuer may have Trouble: its keys are kept while it is out of reach.
func (v *Verifier) Health() []IssuerHealth {
	out := make([]IssuerHealth, 0, len(v.order))
	for _, i := range v.order {
		out = append(out, i.keys.health(i.URL))
	}
	return out
}

// WaitReady returns nil once every issuer is ready, or says which are not when ctx
// is done. Run must be running.
func (v *Verifier) WaitReady(ctx context.Context) error {
	for _, i := range v.order {
		if err := i.keys.waitReady(ctx); err != nil {
			return fmt.Errorf("wait for issuer %s: %w", i.URL, err)
		}
	}
	return nil
}

// Verify implements [agents.Verifier]. A token that has been verified before costs
// a digest and a look-up. If the token names a key that is not known, Verify may
// wait for one fetch, at most FetchTimeout; if the issuer must be asked about it, for
// the answer.
func (v *Verifier) Verify(ctx context.Context, c agents.Credential) (*agents.Identity, error) {
	if c.Token == "" {
		return nil, refuse(agents.Missing, "no token")
	}
	if len(c.Token) > v.config.MaxTokenBytes {
		return nil, refuse(agents.Malformed, "the token is larger than the limit")
	}
	e, rejection := v.find(ctx, c.Token)
	if rejection != nil {
		return nil, rejection
	}
	rejection = e.checkResource(c.Resource)
	if rejection == nil {
		rejection = v.checkBinding(e, c)
	}
	if rejection != nil {
		rejection.Issuer = e.issuer.URL
		return nil, rejection
	}
	return e.identity, nil
}

// find is what is known of a token, after it was found out.
func (v *Verifier) find(ctx context.Context, token string) (*entry, *agents.Rejection) {
	digest, now := tokenDigest(sha256.Sum256([]byte(token))), time.Now()
	e := v.cache.get(digest, now)
	if e != nil && (e.issuer.asks == nil || now.Sub(e.asked) < e.issuer.Introspection.Every) {
		return e, nil
	}
	if e == nil && strings.Count(token, ".") != 2 && v.opaque != nil {
		return v.findOpaque(ctx, token, digest)
	}
	if e == nil {
		var rejection *agents.Rejection
		if e, rejection = v.examine(ctx, token, digest); rejection != nil {
			return nil, rejection
		}
	}
	if e.issuer.asks != nil {
		var rejection *agents.Rejection
		if e, rejection = v.ask(ctx, e, token); rejection != nil {
			return nil, rejection
		}
	}
	v.cache.put(e)
	return e, nil
}

// examine verifies a signed token.
func (v *Verifier) examine(ctx context.Context, token string, digest tokenDigest) (*entry, *agents.Rejection) {
	parsed, rejection := parse(token)
	if rejection != nil {
		return nil, rejection
	}
	if !slices.Contains(Algorithms(), parsed.algorithm) {
		return nil, refuse(agents.BadAlgorithm, "not an asymmetric signature")
	}
	i, ok := v.issuers[parsed.issuer]
	if !ok {
		return nil, refuse(agents.UnknownIssuer, "iss is none of the configured issuers")
	}
	signer, rejection := v.check(ctx, i, token, parsed)
	var e *entry
	if rejection == nil {
		e, rejection = v.admit(i, parsed.claims, digest)
	}
	if rejection != nil {
		rejection.Issuer = i.URL
		return nil, rejection
	}
	e.signer, e.identity.KeyID = signer, signer.id
	return e, nil
}

// check believes nothing of the payload before the signature.
func (v *Verifier) check(ctx context.Context, i *issuer, token string, parsed *compact) (*key, *agents.Rejection) {
	if rejection := checkMediaType(parsed.mediaType, i.AllowPlainType || i.AllowIDTokens); rejection != nil {
		return nil, rejection
	}
	if !slices.Contains(i.algorithms, parsed.algorithm) {
		return nil, refuse(agents.BadAlgorithm, "the issuer is not configured for this algorithm")
	}
	return v.checkSigned(ctx, i, token, parsed)
}

// admit checks claims that the issuer has vouched for.
func (v *Verifier) admit(i *issuer, c claimSet, digest tokenDigest) (*entry, *agents.Rejection) {
	if rejection := checkPurpose(c, i.AllowIDTokens); rejection != nil {
		return nil, rejection
	}
	times, rejection := v.checkTimes(c, time.Now())
	if rejection != nil {
		return nil, rejection
	}
	bound, rejection := thumbprint(c)
	if rejection != nil {
		return nil, rejection
	}
	identity, rejection := v.identify(i, c)
	if rejection != nil {
		return nil, rejection
	}
	identity.IssuedAt, identity.Expires = times.issued, times.expires
	identity.TokenDigest = hex.EncodeToString(digest[:])
	audience, rejection := texts(c["aud"], "aud")
	if rejection != nil {
		return nil, rejection
	}
	return &entry{digest: digest, audience: audience, issuer: i, identity: identity, key: bound, until: identity.Expires.Add(v.config.ExpiryLeeway)}, nil
}

// checkResource is on where the token is presented: one that is meant for a part of the
// resource is good for that part alone.
func (e *entry) checkResource(resource string) *agents.Rejection {
	if slices.Contains(e.audience, e.issuer.Audience) || resource != "" && slices.Contains(e.audience, resource) {
		return nil
	}
	return refuse(agents.WrongAudience, "aud holds the audience of another part of this resource")
}

// meant tells whether an audience is the resource, or a part of it.
func (i *issuer) meant(audience []string) bool {
	return slices.ContainsFunc(audience, func(a string) bool { return a == i.Audience || strings.HasPrefix(a, i.Audience+"/") })
}

// checkBinding is on how the token is presented: whoever is bound to a key must show
// that they have it, each time.
func (v *Verifier) checkBinding(e *entry, c agents.Credential) *agents.Rejection {
	switch {
	case e.key == "" && v.mustBeBound(e):
		return refuse(agents.Unbound, "the token is not bound to a key, and must be")
	case e.key == "" && c.Scheme == agents.DPoP:
		return refuse(agents.BadProof, "the token is bound to no key")
	case e.key == "", c.Again:
		return nil
	case c.Scheme != agents.DPoP:
		return refuse(agents.SenderBound, "a token that is bound to a key is presented as a plain bearer token")
	case c.Proof == "":
		return refuse(agents.SenderBound, "there is no proof")
	default:
		return v.proofs.Check(c, e.key, e.issuer.NonceRequired)
	}
}

func (v *Verifier) mustBeBound(e *entry) bool {
	return e.issuer.ProofRequired || slices.ContainsFunc(e.identity.Chain, func(a agents.Actor) bool { return v.config.Agents[a.ID].ProofRequired })
}

// checkSigned has go-oidc check signature, issuer and audience.
func (v *Verifier) checkSigned(ctx context.Context, i *issuer, token string, parsed *compact) (*key, *agents.Rejection) {
	return v.checkSignedFor(ctx, i, token, parsed, i.meant)
}

// checkSignedFor is checkSigned for the audiences that are meant.
func (v *Verifier) checkSignedFor(ctx context.Context, i *issuer, token string, parsed *compact, meant func(audience []string) bool) (*key, *agents.Rejection) {
	i.keys.awaitFirst(ctx)
	if !i.keys.current(time.Now()) {
		return nil, refuse(agents.ProviderTrouble, "the provider's keys cannot be had")
	}
	signature := &signatureCheck{token: parsed, keys: i.keys}
	_, err := oidc.NewVerifier(i.URL, signature, &oidc.Config{
		SkipClientIDCheck: true, SupportedSigningAlgs: []string{parsed.algorithm}, SkipExpiryCheck: true,
	}).Verify(ctx, token)
	if signature.rejection != nil {
		return nil, signature.rejection
	}
	if signature.signer == nil {
		return nil, refuse(agents.Malformed, "not a signed JWT")
	}
	audience, rejection := texts(parsed.claims["aud"], "aud")
	switch {
	case rejection != nil:
		return nil, rejection
	case !meant(audience):
		return nil, refuse(agents.WrongAudience, "aud does not hold the audience of this resource")
	case err != nil: // never wrapped: go-oidc's errors quote the token
		return nil, refuse(agents.Malformed, "claims of the wrong shape")
	}
	return signature.signer, nil
}
