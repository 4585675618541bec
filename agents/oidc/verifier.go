package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/deedbroker/deed/agents"
)

// Verifier checks tokens of the configured issuers. Its methods may be called
// concurrently.
type Verifier struct {
	config  Config
	issuers map[string]*issuer // by URL
	order   []*issuer
	cache   *cache
	started atomic.Bool
}

var _ agents.Verifier = (*Verifier)(nil)

type issuer struct {
	Issuer
	algorithms []string
	foreign    map[string]bool // prefixes of all issuers
	agents     map[string][]string
	keys       *keySource
}

// New checks the configuration and contacts nobody: until [Verifier.Run] has
// fetched an issuer's keys, its tokens are refused as [agents.ProviderTrouble].
// The error names everything that is wrong with the configuration.
func New(config Config) (*Verifier, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("configure token verification: %w", err)
	}
	v := &Verifier{config: config, issuers: make(map[string]*issuer), cache: newCache(config.CacheSize)}
	known := make(map[string][]string, len(config.Agents))
	for id, roles := range config.Agents {
		known[id] = slices.Clone(roles)
	}
	prefixes := make(map[string]bool)
	for _, i := range config.Issuers {
		prefixes[i.Prefix] = true
	}
	client := bounded(config.Client, config.FetchTimeout)
	for _, i := range config.Issuers {
		added := &issuer{Issuer: i, algorithms: i.Algorithms, foreign: prefixes, agents: known}
		added.PeopleClients = slices.Clone(i.PeopleClients)
		if len(added.algorithms) == 0 {
			added.algorithms = Algorithms()
		}
		if added.Claims.Roles == "" {
			added.Claims.Roles = "roles"
		}
		source := &provider{issuer: i.URL, client: client, timeout: config.FetchTimeout}
		added.keys = &keySource{
			fetch: source.fetch, interval: config.RefreshInterval, minInterval: config.MinFetchInterval, maxAge: config.MaxKeyAge,
			log: config.Logger.With(slog.String("issuer", i.URL)), nudge: make(chan struct{}, 1), attempt: make(chan struct{}),
		}
		v.issuers[i.URL] = added
		v.order = append(v.order, added)
	}
	return v, nil
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
// wait for one fetch, at most FetchTimeout.
func (v *Verifier) Verify(ctx context.Context, token string) (*agents.Identity, error) {
	if token == "" {
		return nil, refuse(agents.Missing, "no token")
	}
	if len(token) > v.config.MaxTokenBytes {
		return nil, refuse(agents.Malformed, "the token is larger than the limit")
	}
	digest, now := tokenDigest(sha256.Sum256([]byte(token))), time.Now()
	if identity := v.cache.get(digest, now); identity != nil {
		return identity, nil
	}
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
	identity, signer, rejection := v.check(ctx, i, token, parsed)
	if rejection != nil {
		rejection.Issuer = i.URL
		return nil, rejection
	}
	identity.TokenDigest = hex.EncodeToString(digest[:])
	v.cache.put(&entry{digest: digest, identity: identity, until: identity.Expires.Add(v.config.ExpiryLeeway), signer: signer, keys: i.keys})
	return identity, nil
}

// check believes nothing of the payload before the signature.
func (v *Verifier) check(ctx context.Context, i *issuer, token string, parsed *compact) (*agents.Identity, *key, *agents.Rejection) {
	if rejection := checkMediaType(parsed.mediaType, i.AllowPlainType); rejection != nil {
		return nil, nil, rejection
	}
	if !slices.Contains(i.algorithms, parsed.algorithm) {
		return nil, nil, refuse(agents.BadAlgorithm, "the issuer is not configured for this algorithm")
	}
	signer, rejection := v.checkSigned(ctx, i, token, parsed)
	if rejection != nil {
		return nil, nil, rejection
	}
	if rejection := checkPurpose(parsed.claims); rejection != nil {
		return nil, nil, rejection
	}
	times, rejection := v.checkTimes(parsed.claims, time.Now())
	if rejection != nil {
		return nil, nil, rejection
	}
	if parsed.claims.has("cnf") {
		return nil, nil, refuse(agents.SenderBound, "cnf binds the token to a key")
	}
	identity, rejection := v.identify(i, parsed.claims)
	if rejection != nil {
		return nil, nil, rejection
	}
	identity.IssuedAt, identity.Expires = times.issued, times.expires
	return identity, signer, nil
}

// checkSigned has go-oidc check signature, issuer and audience.
func (v *Verifier) checkSigned(ctx context.Context, i *issuer, token string, parsed *compact) (*key, *agents.Rejection) {
	i.keys.awaitFirst(ctx)
	if !i.keys.current(time.Now()) {
		return nil, refuse(agents.ProviderTrouble, "the provider's keys cannot be had")
	}
	signature := &signatureCheck{token: parsed, keys: i.keys}
	_, err := oidc.NewVerifier(i.URL, signature, &oidc.Config{
		ClientID: v.config.Audience, SupportedSigningAlgs: []string{parsed.algorithm}, SkipExpiryCheck: true,
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
	case !slices.Contains(audience, v.config.Audience):
		return nil, refuse(agents.WrongAudience, "aud does not hold the audience of this resource")
	case err != nil: // never wrapped: go-oidc's errors quote the token
		return nil, refuse(agents.Malformed, "claims of the wrong shape")
	}
	return signature.signer, nil
}
