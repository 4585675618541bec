package console

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// attempt is a login under way. It travels in a cookie that only this process can read.
type attempt struct {
	Issuer   string    `json:"issuer"`
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Next     string    `json:"next"`     // fragment of the page to go on at
	Expires  time.Time `json:"expires"`
}

// loginTime is how long a person may take at the issuer.
const loginTime = 10 * time.Minute

// sealer encrypts attempts under a key that is gone with the process.
type sealer struct{ aead cipher.AEAD }

func newSealer() (*sealer, error) {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: see its documentation
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make cookie key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cookie key: %w", err)
	}
	return &sealer{aead: aead}, nil
}

func (s *sealer) seal(a attempt) (string, error) {
	plain, err := json.Marshal(a)
	if err != nil {
		return "", fmt.Errorf("seal login: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, nil)), nil //nolint:gosec // this AEAD takes no nonce: it makes a random one for each call
}

// open gives an attempt back that was sealed here and has not expired.
func (s *sealer) open(sealed string, now time.Time) (attempt, error) {
	var a attempt
	box, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return a, errors.New("open login: not base64")
	}
	plain, err := s.aead.Open(nil, nil, box, nil)
	if err != nil {
		return a, errors.New("open login: not sealed by this process")
	}
	if err := json.Unmarshal(plain, &a); err != nil {
		return a, fmt.Errorf("open login: %w", err)
	}
	if !now.Before(a.Expires) {
		return a, errors.New("open login: it took too long")
	}
	return a, nil
}
