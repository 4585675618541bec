package dpop

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/agents"
)

// Values for the fields of [Config] that are zero.
const (
	DefaultMaxAge  = time.Minute
	DefaultMaxKept = 1 << 16
)

// Config bounds what a [Checker] accepts and keeps.
type Config struct {
	MaxAge  time.Duration // how far iat may lie from this clock, either way
	MaxKept int           // proofs remembered in one MaxAge; a 16th of them for each key
	// NonceAge is how long a nonce that was given is accepted.
	NonceAge time.Duration
}

// Checker checks proofs. Its methods may be called concurrently.
type Checker struct {
	maxAge time.Duration
	seen   *seen
	nonces *nonces
}

// New makes a checker.
func New(c Config) *Checker {
	if c.MaxAge <= 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.MaxKept <= 0 {
		c.MaxKept = DefaultMaxKept
	}
	if c.NonceAge <= 0 {
		c.NonceAge = DefaultNonceAge
	}
	return &Checker{maxAge: c.MaxAge, seen: newSeen(c.MaxKept, 2*c.MaxAge), nonces: newNonces(c.NonceAge)}
}

// maxID bounds jti, in bytes.
const maxID = 256

// claims of a proof, named exactly (RFC 9449 section 4.2).
type claims struct {
	ID     string  `json:"jti"`
	Method string  `json:"htm"`
	URL    string  `json:"htu"`
	Issued float64 `json:"iat"`
	Token  string  `json:"ath"`
	Nonce  string  `json:"nonce"`
}

// Check accepts c.Proof as made for this request and this token by the key with that
// thumbprint (RFC 7638), once, and if a nonce is needed with one that this Checker gave
// lately: c.NextNonce hears of the one to use. Call it after everything else about the token has been
// found right, so that only bearers of tokens can make it remember anything.
func (k *Checker) Check(c agents.Credential, thumbprint string, needNonce bool) *agents.Rejection {
	got, rejection := read(c.Proof, thumbprint)
	if rejection != nil {
		return rejection
	}
	now := time.Now()
	sum := sha256.Sum256([]byte(c.Token))
	switch made := time.UnixMilli(int64(got.Issued * 1000)); {
	case got.ID == "" || len(got.ID) > maxID:
		return bad("jti is empty or too long")
	case got.Method != c.Method:
		return bad("htm is another method")
	case !sameResource(got.URL, c.URL):
		return bad("htu is another address")
	case subtle.ConstantTimeCompare([]byte(got.Token), []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) != 1:
		return bad("ath is not the digest of this token")
	case made.Before(now.Add(-k.maxAge)), made.After(now.Add(k.maxAge)):
		return bad("iat is not now")
	}
	if needNonce && !k.fresh(c, got.Nonce, now) {
		return &agents.Rejection{Kind: agents.NonceNeeded, Err: errors.New("no nonce that was given here lately")}
	}
	switch k.seen.add(thumbprint, got.ID, now) {
	case again:
		return &agents.Rejection{Kind: agents.ReplayedProof, Err: errors.New("jti was used before")}
	case full:
		return &agents.Rejection{Kind: agents.TooMany, Err: errors.New("too many proofs at once")}
	default:
		return nil
	}
}

// fresh reports whether the nonce is good, and gives the next if it is not, or not for long.
func (k *Checker) fresh(c agents.Credential, nonce string, now time.Time) bool {
	ok, old := k.nonces.good(nonce, now)
	if (!ok || old) && c.NextNonce != nil {
		c.NextNonce(k.nonces.next(now))
	}
	return ok
}

// read checks the signature of a proof, and that it is by the key of that thumbprint.
func read(proof, thumbprint string) (claims, *agents.Rejection) {
	var none claims
	signed, err := jose.ParseSignedCompact(proof, algorithms())
	if err != nil {
		return none, bad("not a JWS by one of the algorithms for proofs")
	}
	header := signed.Signatures[0].Protected
	if kind, _ := header.ExtraHeaders[jose.HeaderType].(string); !strings.EqualFold(kind, "dpop+jwt") {
		return none, bad("typ is not dpop+jwt")
	}
	if header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() || !header.JSONWebKey.Valid() {
		return none, bad("jwk is not a public key")
	}
	own, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil || subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(own)), []byte(thumbprint)) != 1 {
		return none, bad("made by another key than the token is bound to")
	}
	payload, err := signed.Verify(header.JSONWebKey)
	if err != nil {
		return none, bad("the key did not sign this")
	}
	var got claims
	if json.Unmarshal(payload, &got) != nil {
		return none, bad("claims of the wrong shape")
	}
	return got, nil
}

func algorithms() []jose.SignatureAlgorithm {
	var all []jose.SignatureAlgorithm
	for name := range strings.FieldsSeq(agents.DPoPAlgorithms) {
		all = append(all, jose.SignatureAlgorithm(name))
	}
	return all
}

// sameResource compares addresses without query and fragment, after normalization (RFC
// 9449 section 4.3: RFC 3986 sections 6.2.2 and 6.2.3).
func sameResource(claimed, actual string) bool {
	a, err := url.Parse(claimed)
	if err != nil || a.User != nil {
		return false
	}
	b, err := url.Parse(actual)
	if err != nil {
		return false
	}
	return strings.EqualFold(a.Scheme, b.Scheme) && host(a) == host(b) && path(a) == path(b)
}

func host(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Hostname()) + ":" + port
}

func path(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return u.Path
}

func bad(why string) *agents.Rejection {
	return &agents.Rejection{Kind: agents.BadProof, Err: errors.New(why)}
}
