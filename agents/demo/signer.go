package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	algorithm       = jose.ES256
	typeAccessToken = "at+jwt" // RFC 9068 section 2.1
	typeIDToken     = "JWT"
)

// accessClaims are those of an access token (RFC 9068 section 2.2).
type accessClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`
	ClientID string   `json:"client_id"`
	ID       string   `json:"jti"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Scope    string   `json:"scope,omitempty"`
	Session  string   `json:"sid,omitempty"` // of the person's sign-in; exchanged tokens keep it
	ACR      string   `json:"acr,omitempty"`
	Roles    []string `json:"roles,omitempty"`
	Act      *actor   `json:"act,omitempty"`
	MayAct   *actor   `json:"may_act,omitempty"` // who alone may act for the subject
}

// actor is who acts, and for whom in turn (RFC 8693 section 4.1).
type actor struct {
	Subject  string `json:"sub"`
	ClientID string `json:"client_id"`
	Act      *actor `json:"act,omitempty"`
}

func (a *actor) depth() int {
	n := 0
	for ; a != nil; a = a.Act {
		n++
	}
	return n
}

// idClaims are those of an ID token (OpenID Connect Core section 2).
type idClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	IssuedAt int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	Nonce    string   `json:"nonce,omitempty"`
	Session  string   `json:"sid"`
	Roles    []string `json:"roles,omitempty"`
}

type signer struct {
	issuer string
	key    jose.JSONWebKey
	byType map[string]jose.Signer
}

func newSigner(issuer string) (*signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &signer{
		issuer: issuer, byType: make(map[string]jose.Signer),
		key: jose.JSONWebKey{Key: private, KeyID: "demo-" + rand.Text(), Algorithm: string(algorithm), Use: "sig"},
	}
	for _, typ := range []string{typeAccessToken, typeIDToken} {
		options := (&jose.SignerOptions{}).WithType(jose.ContentType(typ))
		if s.byType[typ], err = jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: s.key}, options); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *signer) publicKeys() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}}
}

func (s *signer) sign(typ string, claims any) (string, error) {
	token, err := jwt.Signed(s.byType[typ]).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}

// parse gives the claims of an access token of this issuer that has not expired.
func (s *signer) parse(token string, now time.Time) (*accessClaims, bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil || len(parsed.Headers) != 1 || parsed.Headers[0].ExtraHeaders[jose.HeaderType] != typeAccessToken {
		return nil, false
	}
	var c accessClaims
	if err := parsed.Claims(s.key.Public(), &c); err != nil {
		return nil, false
	}
	return &c, c.Issuer == s.issuer && now.Unix() < c.Expires
}
