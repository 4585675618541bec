package agentstest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// Thumbprint is what a token that is bound to the key says in cnf.jkt (RFC 9449).
func (k *Key) Thumbprint() string {
	public := k.Public()
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		k.tb.Fatalf("agentstest: thumbprint: %v", err)
	}
	return Encode(sum)
}

// Proof is a DPoP proof by the key for a request with a token. more changes its claims,
// and removes those that are nil.
func (k *Key) Proof(method, url, token string, more Claims) string {
	return k.ProofWith(nil, method, url, token, more)
}

// ProofWith is [Key.Proof] with header parameters added, changed, or removed by nil.
func (k *Key) ProofWith(header Claims, method, url, token string, more Claims) string {
	sum := sha256.Sum256([]byte(token))
	public := k.Public()
	public.KeyID, public.Use, public.Algorithm = "", "", ""
	head := Claims{"typ": "dpop+jwt", "alg": k.Algorithm, "jwk": public}.With(header)
	claims := Claims{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": Encode(sum[:])}.With(more)
	return k.Sign(encode(k.tb, head), encode(k.tb, claims))
}
