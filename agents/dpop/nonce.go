package dpop

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// DefaultNonceAge is how long a nonce is accepted, unless [Config] says otherwise.
const DefaultNonceAge = 5 * time.Minute

const (
	timeBytes = 8
	macBytes  = 16
)

// nonces are the time, under a key of this process: nothing is kept for those that are out.
type nonces struct {
	key [sha256.Size]byte
	age time.Duration
}

func newNonces(age time.Duration) *nonces {
	n := &nonces{age: age}
	_, _ = rand.Read(n.key[:]) // never fails
	return n
}

// next is what proofs are to carry from now on.
func (n *nonces) next(now time.Time) string {
	at := binary.BigEndian.AppendUint64(make([]byte, 0, timeBytes+macBytes), uint64(now.Unix())) //nolint:gosec // after 1970
	return base64.RawURLEncoding.EncodeToString(n.sign(at))
}

// good reports whether a nonce is one of these, and of late; old that it will not be for long.
func (n *nonces) good(nonce string, now time.Time) (ok, old bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(raw) != timeBytes+macBytes || !hmac.Equal(raw, n.sign(raw[:timeBytes:timeBytes])) {
		return false, false
	}
	since := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)) //nolint:gosec // signed here
	return since <= n.age, since > n.age/2
}

// sign appends the authenticator to a time.
func (n *nonces) sign(at []byte) []byte {
	mac := hmac.New(sha256.New, n.key[:])
	_, _ = mac.Write(at) // never fails
	return append(at, mac.Sum(nil)[:macBytes]...)
}
