package agentstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Claims are a token's claims, or its header.
type Claims map[string]any

// With is a copy with more; a nil value removes the claim.
func (c Claims) With(more Claims) Claims {
	out := maps.Clone(c)
	for name, value := range more {
		if value == nil {
			delete(out, name)
			continue
		}
		out[name] = value
	}
	return out
}

// Issuer is a signing issuer. All its methods may be called at any time.
type Issuer struct {
	URL      string
	Audience string // of the tokens from [Issuer.Person] and its like
	KeysURL  string // where its keys are, if not at {URL}/jwks

	tb testing.TB

	mu        sync.Mutex
	keys      []*Key // guarded by mu; the last one signs
	down      bool
	discovery int
	fetches   int
	said      map[string]Claims // by token
	asked     int
}

// New is an issuer of that URL with one ES256 key, reachable through
// [Issuer.Client] only.
func New(tb testing.TB, issuerURL, audience string) *Issuer {
	tb.Helper()
	return &Issuer{URL: issuerURL, Audience: audience, tb: tb, keys: []*Key{NewKey(tb, "ES256")}}
}

// Start is an issuer with one ES256 key that listens on loopback until the test ends.
func Start(tb testing.TB, audience string) *Issuer {
	tb.Helper()
	i := New(tb, "", audience)
	server := httptest.NewServer(i)
	tb.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

// ServeHTTP answers discovery and the key set.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch i.place(r) {
	case "/.well-known/openid-configuration":
		i.discovery++
	case "/jwks":
		i.fetches++
	case "/introspect":
		i.introspect(w, r)
		return
	default:
		http.NotFound(w, r)
		return
	}
	if i.down {
		http.Error(w, "switched off", http.StatusServiceUnavailable)
		return
	}
	var body any = Claims{
		"issuer": i.URL, "introspection_endpoint": i.URL + "/introspect", "jwks_uri": i.keysURL(), "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
	}
	if i.place(r) == "/jwks" {
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
		for _, k := range i.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		body = set
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(body); err != nil {
		i.tb.Errorf("agentstest: answer: %v", err)
	}
}

// place is a request's path below the issuer's own.
func (i *Issuer) place(r *http.Request) string {
	if r.URL.String() == i.KeysURL {
		return "/jwks"
	}
	own, err := url.Parse(i.URL)
	if err != nil {
		return r.URL.Path
	}
	return strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(own.Path, "/"))
}

func (i *Issuer) keysURL() string {
	if i.KeysURL != "" {
		return i.KeysURL
	}
	return strings.TrimSuffix(i.URL, "/") + "/jwks"
}

// RoundTrip serves a request without a network.
func (i *Issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	response := w.Result()
	response.Request = r
	return response, nil
}

// Client reaches this issuer, whatever the host of the request.
func (i *Issuer) Client() *http.Client { return &http.Client{Transport: i} }

// Client reaches all of these issuers, each by its host, and nothing else.
func Client(issuers ...*Issuer) *http.Client {
	return &http.Client{Transport: byHost(issuers)}
}

type byHost []*Issuer

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, i := range b {
		for _, own := range []string{i.URL, i.KeysURL} {
			if u, err := url.Parse(own); err == nil && u.Host == r.URL.Host {
				return i.RoundTrip(r)
			}
		}
	}
	return nil, fmt.Errorf("agentstest: no issuer at %s", r.URL.Host)
}

// SetDown switches the issuer off or on: off, it answers 503.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// AddKey publishes a new key, which signs from now on.
func (i *Issuer) AddKey(algorithm string) *Key {
	k := NewKey(i.tb, algorithm)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
	return k
}

// Withdraw stops publishing a key.
func (i *Issuer) Withdraw(k *Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = slices.DeleteFunc(i.keys, func(other *Key) bool { return other == k })
}

// Key is the one that signs now.
func (i *Issuer) Key() *Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.keys) == 0 {
		i.tb.Fatal("agentstest: every key is withdrawn")
	}
	return i.keys[len(i.keys)-1]
}

// KeyFetches counts the requests for the key set so far.
func (i *Issuer) KeyFetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// DiscoveryFetches counts the requests for the discovery document so far.
func (i *Issuer) DiscoveryFetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.discovery
}

// PersonClaims are those of a good access token that a person got through client:
// issued now, for 10 minutes.
func (i *Issuer) PersonClaims(sub, client string, roles ...string) Claims {
	now := time.Now()
	c := Claims{
		"iss": i.URL, "sub": sub, "aud": i.Audience, "client_id": client, "jti": "token-of-" + sub,
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
	if len(roles) > 0 {
		c["roles"] = roles
	}
	return c
}

// DelegatedClaims are those of a good token for agents that act for a person: the
// current actor comes first.
func (i *Issuer) DelegatedClaims(sub string, agents ...string) Claims {
	if len(agents) == 0 {
		i.tb.Fatal("agentstest: a delegated token needs an agent")
	}
	var act any
	for _, agent := range slices.Backward(agents) {
		link := Claims{"sub": agent}
		if act != nil {
			link["act"] = act
		}
		act = link
	}
	return i.PersonClaims(sub, agents[0]).With(Claims{"act": act})
}

// Token signs claims as an access token (RFC 9068) with the present key.
func (i *Issuer) Token(claims Claims) string { return i.TokenWith(nil, claims) }

// TokenWith is [Issuer.Token] with header parameters added, changed, or removed by nil.
func (i *Issuer) TokenWith(header, claims Claims) string {
	i.tb.Helper()
	k := i.Key()
	full := Claims{"alg": k.Algorithm, "kid": k.ID, "typ": "at+jwt"}.With(header)
	return k.Sign(encode(i.tb, full), encode(i.tb, claims))
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatalf("agentstest: encode claims: %v", err)
	}
	return b
}
