package agentstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Key is a signing key of an [Issuer].
type Key struct {
	ID        string
	Algorithm string // RS256, ES256 or EdDSA

	tb      testing.TB
	private crypto.Signer
}

// NewKey makes a key for RS256, ES256 or EdDSA that no issuer publishes.
func NewKey(tb testing.TB, algorithm string) *Key {
	tb.Helper()
	k := &Key{ID: rand.Text(), Algorithm: algorithm, tb: tb}
	var err error
	switch algorithm {
	case "RS256":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		tb.Fatalf("agentstest: no keys for algorithm %q", algorithm)
	}
	if err != nil {
		tb.Fatalf("agentstest: make key: %v", err)
	}
	return k
}

// Public is the key as its issuer publishes it.
func (k *Key) Public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.private.Public(), KeyID: k.ID, Algorithm: k.Algorithm, Use: "sig"}
}

// Sign makes a compact JWS of exactly these header and payload bytes, which need
// not be JSON, nor agree with the key.
func (k *Key) Sign(header, payload []byte) string {
	input := Encode(header) + "." + Encode(payload)
	signature, err := k.signature([]byte(input))
	if err != nil {
		k.tb.Fatalf("agentstest: sign: %v", err)
	}
	return input + "." + Encode(signature)
}

func (k *Key) signature(input []byte) ([]byte, error) {
	sum := sha256.Sum256(input)
	switch private := k.private.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out, nil
	default:
		return k.private.Sign(rand.Reader, input, crypto.Hash(0))
	}
}

// Encode is base64url without padding, as in a JWS.
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
