package agents

import (
	"errors"
	"fmt"
)

// Kind says why a token was refused. It is part of metrics and events: bounded, and free of anything that the token says.
type Kind string

// The kinds of rejection.
const (
	Missing           Kind = "missing"            // no token
	Malformed         Kind = "malformed"          // not a JWT, or claims of the wrong shape
	UnknownIssuer     Kind = "unknown_issuer"     // iss is not configured
	BadAlgorithm      Kind = "bad_algorithm"      // none, HMAC, or one that the issuer may not use
	UnknownKey        Kind = "unknown_key"        // no such key at the issuer
	BadSignature      Kind = "bad_signature"      //
	WrongAudience     Kind = "wrong_audience"     // meant for somebody else
	WrongType         Kind = "wrong_type"         // an ID token, a logout token, an ID-JAG
	Expired           Kind = "expired"            //
	NotYetValid       Kind = "not_yet_valid"      // nbf or iat ahead of the skew
	TooLong           Kind = "too_long"           // a lifetime beyond the configured bound
	NoSubject         Kind = "no_subject"         //
	BadChain          Kind = "bad_chain"          // act malformed, too deep, or at odds with azp
	Inactive          Kind = "inactive"           // the issuer says, when asked, that it is not in force
	SenderBound       Kind = "sender_bound"       // bound to a key, and shown without the proof that this asks for
	BadProof          Kind = "bad_proof"          // a DPoP proof of another key, request, token or time
	ReplayedProof     Kind = "replayed_proof"     // a DPoP proof that was used before
	NonceNeeded       Kind = "nonce_needed"       // a DPoP proof without a nonce of this replica's, where one must be in it
	Unbound           Kind = "unbound"            // a bearer token where one that is bound to a key is required
	ForeignOrigin     Kind = "foreign_origin"     // a request of a web page, or by a name, that is not the broker's own
	Widened           Kind = "widened_exchange"   // an exchange that asked for more than its subject token may do
	InsufficientScope Kind = "insufficient_scope" // a good token that does not have what every request needs
	NotAPerson        Kind = "not_a_person"       // a good token with an actor in it, where only people log in
	NotYours          Kind = "not_yours"          // a good token, and a call, session, record or the like that is not its bearer's to use or see
	ProviderTrouble   Kind = "provider_trouble"   // the issuer's keys or its word cannot be had now
	Revoked           Kind = "revoked"            // it verifies, and its bearer has been stopped
	TooMany           Kind = "too_many"           // more new tokens or proofs at once than are taken in
)

// Rejection is the error of a token that does not verify.
type Rejection struct { //nolint:errname // what happened to the token, as the log calls it
	Kind   Kind
	Issuer string // only if it is a configured one
	Err    error  // for the log; never holds any part of the token

	Identity *Identity // the bearer, of a token that verifies

	// Of one who was revoked:
	Revocation string // what stops them, by its id
	Barred     bool   // another token would not help either
}

// Foreign is the rejection of somebody who is known, and wants what is not theirs.
func Foreign(id *Identity) *Rejection {
	return &Rejection{Kind: NotYours, Issuer: id.Issuer, Identity: id}
}

// Error says the kind and the cause. It is for logs; answer clients with [Rejection.Public].
func (r *Rejection) Error() string {
	if r.Err == nil {
		return "token rejected: " + string(r.Kind)
	}
	return fmt.Sprintf("token rejected: %s: %v", r.Kind, r.Err)
}

// Unwrap is the cause.
func (r *Rejection) Unwrap() error { return r.Err }

// Temporary tells that nothing is said against the token: trying again may help.
func (r *Rejection) Temporary() bool { return r.Kind == ProviderTrouble || r.Kind == TooMany }

// Proof tells that what is at fault is the proof of the token's key, or that there is none.
func (r *Rejection) Proof() bool {
	switch r.Kind {
	case SenderBound, BadProof, ReplayedProof, NonceNeeded, Unbound:
		return true
	default:
		return false
	}
}

// Public is the sentence for the bearer: enough to mend an honest mistake, nothing for a forger.
func (r *Rejection) Public() string {
	if errors.Is(r, ErrHeader) {
		return "send one token, in the Authorization header and nowhere else"
	}
	switch r.Kind {
	case Missing:
		return "a bearer token is required"
	case Expired:
		return "the token has expired: get a new one"
	case NotYetValid:
		return "the token is not valid yet: check the clocks"
	case WrongAudience:
		return "the token is meant for another audience: request one for this resource"
	case WrongType:
		return "this is not an access token"
	case UnknownIssuer:
		return "the token's issuer is not accepted here"
	case TooLong:
		return "the token lives too long: request a shorter lifetime"
	case InsufficientScope:
		return "the token lacks scopes that are needed here"
	case Inactive:
		return "the token is not in force any more: get a new one"
	case SenderBound:
		return "the token is bound to a key and came without proof of it"
	case BadProof:
		return "the DPoP proof is not one for this request and token"
	case ReplayedProof:
		return "the DPoP proof was used before: make one for each request"
	case NonceNeeded:
		return "the DPoP proof must carry the nonce that this answer gives: sign again with it"
	case Unbound:
		return "a token that is bound to a key is required: use DPoP"
	case Revoked:
		if r.Barred {
			return "this caller has been revoked: a new token will not help"
		}
		return "the token has been revoked: log in again"
	case ProviderTrouble:
		return "the token cannot be checked now: try again"
	case TooMany:
		return "too many tokens are waiting to be checked: try again"
	case Malformed, BadAlgorithm, UnknownKey, BadSignature, NoSubject, BadChain:
		return "the token is not valid"
	default:
		return "the token is not valid"
	}
}

// Challenge is the value of WWW-Authenticate for a rejected credential (RFC 6750 section
// 3, RFC 9449 section 7.1, RFC 9728 section 5.1). metadata is the address of the
// resource's metadata; scope is what a token for it should have, and may be empty.
func (r *Rejection) Challenge(metadata, scope string) string {
	scheme, code := "Bearer", "invalid_token"
	switch {
	case errors.Is(r, ErrHeader):
		code = "invalid_request"
	case r.Kind == BadProof, r.Kind == ReplayedProof:
		scheme, code = "DPoP", "invalid_dpop_proof"
	case r.Kind == NonceNeeded:
		scheme, code = "DPoP", "use_dpop_nonce"
	case r.Proof():
		scheme = "DPoP"
	}
	challenge := scheme + ` resource_metadata="` + metadata + `"`
	if scheme == "DPoP" {
		challenge += `, algs="` + DPoPAlgorithms + `"`
	}
	if scope != "" {
		challenge += `, scope="` + scope + `"`
	}
	if r.Kind != Missing {
		challenge += `, error="` + code + `", error_description="` + r.Public() + `"`
	}
	return challenge
}

// DPoPAlgorithms are those that may sign proofs, separated by spaces.
const DPoPAlgorithms = "ES256 EdDSA ES384 PS256 RS256"
