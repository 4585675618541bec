package oidc

import (
	"bytes"
	"context"
	"errors"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/deedbroker/deed/agents"
)

// signatureCheck is the key set of one verification. It keeps what go-oidc drops:
// which key signed, and why none did.
type signatureCheck struct {
	token     *compact
	keys      *keySource
	signer    *key
	rejection *agents.Rejection
}

var _ oidc.KeySet = (*signatureCheck)(nil)

var errSignature = errors.New("no signature that is trusted")

// VerifySignature implements [oidc.KeySet].
func (s *signatureCheck) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, rejection := s.verify(ctx, token)
	if rejection != nil {
		s.rejection = rejection
		return nil, errSignature
	}
	return payload, nil
}

func (s *signatureCheck) verify(ctx context.Context, token string) ([]byte, *agents.Rejection) {
	candidates := s.keys.candidates(s.token.keyID, s.token.algorithm)
	if len(candidates) == 0 {
		s.keys.await(ctx)
		candidates = s.keys.candidates(s.token.keyID, s.token.algorithm)
	}
	switch {
	case len(candidates) == 0 && s.keys.troubled():
		return nil, refuse(agents.ProviderTrouble, "the provider does not answer, and the key is not known")
	case len(candidates) == 0:
		return nil, refuse(agents.UnknownKey, "the provider has no such key for the algorithm")
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.token.algorithm)})
	if err != nil {
		return nil, refuse(agents.Malformed, "not a JWS in compact form")
	}
	for _, k := range candidates {
		payload, err := signed.Verify(k.public)
		if err != nil {
			continue
		}
		if !bytes.Equal(payload, s.token.payload) {
			return nil, refuse(agents.Malformed, "two readings of the payload differ")
		}
		s.signer = k
		return payload, nil
	}
	return nil, refuse(agents.BadSignature, "the key did not sign this")
}
