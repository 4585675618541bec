package login

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Method is how a client authenticates at the token endpoint, by the names of RFC 7591 section 2.
type Method string

// The methods of [Client].
const (
	MethodNone  Method = "none"
	MethodBasic Method = "client_secret_basic"
	MethodPost  Method = "client_secret_post"
	MethodKey   Method = "private_key_jwt"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLife = time.Minute
	minRSA        = 2048
)

// authenticate adds to a form what proves the client, and returns the header for it.
func (c *Client) authenticate(form url.Values) (http.Header, error) {
	header := http.Header{}
	method := c.Method
	switch {
	case method == "" && c.Secret == "":
		method = MethodNone
	case method == "":
		method = MethodBasic
	}
	switch method {
	case MethodBasic: // RFC 6749 section 2.3.1 encodes both parts
		pair := url.QueryEscape(c.ID) + ":" + url.QueryEscape(string(c.Secret))
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	case MethodPost:
		form.Set("client_id", c.ID)
		form.Set("client_secret", string(c.Secret))
	case MethodNone:
		form.Set("client_id", c.ID)
	case MethodKey:
		assertion, err := c.assertion(time.Now())
		if err != nil {
			return nil, err
		}
		form.Set("client_id", c.ID)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", assertion)
	default:
		return nil, fmt.Errorf("a client cannot authenticate by %q", string(method))
	}
	return header, nil
}

// assertion proves by its key who the client is, to its provider alone (RFC 7523 section 3).
func (c *Client) assertion(now time.Time) (string, error) {
	if c.Key == nil {
		return "", errors.New("the client has no key to sign with")
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: c.Key.algorithm, Key: c.Key.signer}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign client assertion: %w", err)
	}
	signed, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: c.ID, Subject: c.ID, Audience: jwt.Audience{c.Provider.Issuer}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign client assertion: %w", err)
	}
	return signed, nil
}

// Key is a client's private key. It prints as nothing.
type Key struct {
	algorithm jose.SignatureAlgorithm
	signer    crypto.Signer
}

// Algorithm is what the key signs with, as JOSE names it.
func (k *Key) Algorithm() string { return string(k.algorithm) }

// String is not the key.
func (k *Key) String() string { return redacted }

// GoString is not the key.
func (k *Key) GoString() string { return redacted }

// ParseKey reads a private key in PEM (PKCS #8, or of its kind alone): of P-256, P-384, P-521,
// Ed25519 or RSA. Its error quotes nothing of it.
func ParseKey(text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("it is no key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = parseOld(block.Bytes); err != nil {
			return nil, errors.New("it is no private key")
		}
	}
	switch k := parsed.(type) {
	case *ecdsa.PrivateKey:
		algorithm, known := map[elliptic.Curve]jose.SignatureAlgorithm{elliptic.P256(): jose.ES256, elliptic.P384(): jose.ES384, elliptic.P521(): jose.ES512}[k.Curve]
		if !known {
			return nil, errors.New("its curve is not one to sign with")
		}
		return &Key{algorithm, k}, nil
	case ed25519.PrivateKey:
		return &Key{jose.EdDSA, k}, nil
	case *rsa.PrivateKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("it has fewer than %d bits", minRSA)
		}
		return &Key{jose.RS256, k}, nil
	default:
		return nil, errors.New("it is no key to sign with")
	}
}

// parseOld reads a key without the name of its kind.
func parseOld(der []byte) (any, error) {
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return x509.ParsePKCS1PrivateKey(der)
}
