package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys    = 64
	minRSABits = 2048 // NIST SP 800-131A
)

// parseKeys reads a JWK Set (RFC 7517 section 5). Keys that are of no use here are
// left out, since providers publish keys for other purposes beside.
func parseKeys(body []byte) (map[string]*key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the key set is not JSON")
	}
	if set.Keys == nil {
		return nil, errors.New("the key set has no keys member")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys: more than %d", len(set.Keys), maxKeys)
	}
	keys := make(map[string]*key, len(set.Keys))
	for _, raw := range set.Keys {
		var published jose.JSONWebKey
		if json.Unmarshal(raw, &published) != nil || !usable(published) {
			continue
		}
		thumbprint, err := published.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		keys[identify(thumbprint, published)] = &key{id: published.KeyID, algorithm: published.Algorithm, public: published.Key}
	}
	return keys, nil
}

// identify tells keys apart; a key that gets another ID or algorithm is another key.
func identify(thumbprint []byte, k jose.JSONWebKey) string {
	return string(thumbprint) + "\x00" + k.Algorithm + "\x00" + k.KeyID
}

func usable(k jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" || !k.Valid() {
		return false
	}
	switch public := k.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default: // symmetric, or a private key that nobody should publish
		return false
	}
}

// fits tells whether this key may be used with a token's algorithm: the kind of
// key decides, never the token alone (RFC 8725 section 3.1).
func (k *key) fits(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		curves := map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}
		return curves[algorithm] == public.Curve.Params().BitSize
	case ed25519.PublicKey:
		return slices.Contains([]string{"EdDSA", "Ed25519"}, algorithm)
	default:
		return false
	}
}
