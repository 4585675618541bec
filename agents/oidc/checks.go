package oidc

import (
	"errors"
	"slices"
	"time"

	"github.com/deedbroker/deed/agents"
)

func refuse(kind agents.Kind, why string) *agents.Rejection {
	return &agents.Rejection{Kind: kind, Err: errors.New(why)}
}

// checkMediaType is on the header's typ (RFC 8725 section 3.11).
func checkMediaType(mediaType string, plain bool) *agents.Rejection {
	switch mediaType {
	case "at+jwt":
		return nil
	case "jwt", "":
		if plain {
			return nil
		}
		return refuse(agents.WrongType, "typ is not at+jwt, and the issuer is not configured for plain JWTs")
	default:
		return refuse(agents.WrongType, "typ is that of another kind of token")
	}
}

// checkPurpose refuses what is signed by the right key and isn't an access token.
func checkPurpose(c claimSet, idTokens bool) *agents.Rejection {
	for _, name := range []string{"nonce", "at_hash", "c_hash", "s_hash"} {
		if c.has(name) && !idTokens {
			return refuse(agents.WrongType, "an ID token: it has "+name)
		}
	}
	if c.has("events") {
		return refuse(agents.WrongType, "a logout or security event token: it has events")
	}
	if !c.has("typ") { // Keycloak says here what the token is for
		return nil
	}
	purpose, ok := asText(c["typ"])
	if ok && (purpose == "Bearer" || purpose == "DPoP" && c.has("cnf")) {
		return nil
	}
	return refuse(agents.WrongType, "the claim typ says that it is no access token")
}

type lifetime struct{ issued, expires time.Time }

func (v *Verifier) checkTimes(c claimSet, now time.Time) (lifetime, *agents.Rejection) {
	var t lifetime
	var rejection *agents.Rejection
	if t.expires, rejection = c.instant("exp"); rejection != nil {
		return t, rejection
	}
	if t.issued, rejection = c.instant("iat"); rejection != nil {
		return t, rejection
	}
	if c.has("nbf") {
		start, rejection := c.instant("nbf")
		if rejection != nil {
			return t, rejection
		}
		if start.After(now.Add(v.config.Skew)) {
			return t, refuse(agents.NotYetValid, "nbf is ahead of this clock")
		}
	}
	switch {
	case !t.expires.After(t.issued):
		return t, refuse(agents.Malformed, "exp is not after iat")
	case t.issued.After(now.Add(v.config.Skew)):
		return t, refuse(agents.NotYetValid, "iat is ahead of this clock")
	case !now.Before(t.expires.Add(v.config.ExpiryLeeway)):
		return t, refuse(agents.Expired, "exp has passed")
	case t.expires.Sub(t.issued) > v.config.MaxLifetime:
		return t, refuse(agents.TooLong, "from iat to exp is longer than the limit")
	}
	return t, nil
}

// thumbprint is the key that a token is bound to (RFC 9449 section 6); empty if to none.
func thumbprint(c claimSet) (string, *agents.Rejection) {
	if !c.has("cnf") {
		return "", nil
	}
	cnf, ok := decodeClaims(c["cnf"])
	otherwise := slices.ContainsFunc([]string{"x5t#S256", "jwk", "jwe", "kid", "jku", "osc"}, cnf.has)
	if !ok || otherwise || !cnf.has("jkt") {
		return "", refuse(agents.SenderBound, "cnf binds the token in a way that is not supported")
	}
	jkt, ok := asText(cnf["jkt"])
	if !ok || len(jkt) != 43 {
		return "", refuse(agents.SenderBound, "cnf.jkt is not a thumbprint")
	}
	return jkt, nil
}
