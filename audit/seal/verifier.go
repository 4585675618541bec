package seal

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// verifierOf derives the verifier key from a signer key that note accepted:
// PRIVATE+KEY+name+hash+base64 of the algorithm, 1 for Ed25519, and the seed.
func verifierOf(signerKey string) (Verifier, error) {
	parts := strings.SplitN(signerKey, "+", 5)
	if len(parts) != 5 {
		return Verifier{}, errors.New("parse key: not a key")
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return Verifier{}, errors.New("parse key: not a key")
	}
	public, ok := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return Verifier{}, errors.New("parse key: not an Ed25519 key")
	}
	text, err := note.NewEd25519VerifierKey(parts[2], public)
	if err != nil {
		return Verifier{}, errors.New("parse key: not an Ed25519 key")
	}
	return ParseVerifier(text)
}

// open verifies a note by the keys and returns its text and who signed it. Every
// signature by one of the keys has to be good; others are ignored.
func open(msg []byte, keys []Verifier) (string, Verifier, error) {
	list := make([]note.Verifier, 0, len(keys))
	known := map[string]bool{}
	for _, k := range keys {
		if k.verifier != nil && !known[k.text] {
			known[k.text] = true
			list = append(list, k.verifier)
		}
	}
	n, err := note.Open(msg, note.VerifierList(list...))
	if err != nil {
		return "", Verifier{}, err
	}
	for _, k := range keys {
		if k.verifier != nil && k.verifier.Name() == n.Sigs[0].Name && k.verifier.KeyHash() == n.Sigs[0].Hash {
			return n.Text, k, nil
		}
	}
	return "", Verifier{}, errors.New("signed by none of the keys")
}
