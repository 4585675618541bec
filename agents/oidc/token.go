package oidc

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/deedbroker/deed/agents"
)

// compact is a JWS in compact form (RFC 7515 section 7.1), taken apart and not yet
// believed.
type compact struct {
	algorithm string
	keyID     string
	mediaType string // typ, lower case, without "application/"
	issuer    string
	payload   []byte
	claims    claimSet
}

// parse takes a token apart. It accepts one spelling of each token only, so that a
// digest identifies it: go-jose skips line breaks and stray bits.
func parse(token string) (*compact, *agents.Rejection) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, refuse(agents.Malformed, "not three parts")
	}
	var decoded [3][]byte
	for n, part := range parts {
		var err error
		if decoded[n], err = strictBase64(part); err != nil {
			return nil, refuse(agents.Malformed, "not base64url")
		}
	}
	header, ok := decodeClaims(decoded[0])
	if !ok {
		return nil, refuse(agents.Malformed, "the header is not a JSON object with distinct names")
	}
	t := &compact{payload: decoded[1]}
	if rejection := t.readHeader(header); rejection != nil {
		return nil, rejection
	}
	if t.claims, ok = decodeClaims(decoded[1]); !ok {
		return nil, refuse(agents.Malformed, "the payload is not a JSON object with distinct names")
	}
	if t.claims.hasVariant() {
		return nil, refuse(agents.Malformed, "a claim differs from a registered one in case only")
	}
	var rejection *agents.Rejection
	if t.issuer, rejection = t.claims.text("iss"); rejection != nil {
		return nil, rejection
	}
	return t, nil
}

func (t *compact) readHeader(header claimSet) *agents.Rejection {
	for _, name := range []string{"crit", "b64", "zip"} {
		if header.has(name) {
			return refuse(agents.Malformed, "the header has "+name+", which no access token needs")
		}
	}
	var rejection *agents.Rejection
	if t.algorithm, rejection = header.name("alg"); rejection != nil {
		return rejection
	}
	if t.keyID, rejection = header.name("kid"); rejection != nil {
		return rejection
	}
	mediaType, rejection := header.text("typ")
	if rejection != nil {
		return rejection
	}
	t.mediaType = strings.TrimPrefix(strings.ToLower(mediaType), "application/")
	return nil
}

var errEncoding = errors.New("not base64url")

func strictBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errEncoding
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}
