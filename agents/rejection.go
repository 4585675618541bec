package agents

import "fmt"

// Kind says why a token was refused. It is part of metrics and events: bounded, and free of anything that the token says.
type Kind string

// The kinds of rejection.
const (
	Missing         Kind = "missing"          // no token
	Malformed       Kind = "malformed"        // not a JWT, or claims of the wrong shape
	UnknownIssuer   Kind = "unknown_issuer"   // iss is not configured
	BadAlgorithm    Kind = "bad_algorithm"    // none, HMAC, or one that the issuer may not use
	UnknownKey      Kind = "unknown_key"      // no such key at the issuer
	BadSignature    Kind = "bad_signature"    //
	WrongAudience   Kind = "wrong_audience"   // meant for somebody else
	WrongType       Kind = "wrong_type"       // an ID token, a logout token, an ID-JAG
	Expired         Kind = "expired"          //
	NotYetValid     Kind = "not_yet_valid"    // nbf or iat ahead of the skew
	TooLong         Kind = "too_long"         // a lifetime beyond the configured bound
	NoSubject       Kind = "no_subject"       //
	BadChain        Kind = "bad_chain"        // act malformed, too deep, or at odds with azp
	SenderBound     Kind = "sender_bound"     // cnf without the proof that it asks for
	ProviderTrouble Kind = "provider_trouble" // the issuer's keys cannot be had now
)

// Rejection is the error of a token that does not verify.
type Rejection struct { //nolint:errname // what happened to the token, as the log calls it
	Kind   Kind
	Issuer string // only if it is a configured one
	Err    error  // for the log; never holds any part of the token
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

// Public is the sentence for the bearer: enough to mend an honest mistake, nothing for a forger.
func (r *Rejection) Public() string {
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
	case SenderBound:
		return "the token is bound to a key and came without proof of it"
	case ProviderTrouble:
		return "the token cannot be checked now: try again"
	case Malformed, BadAlgorithm, UnknownKey, BadSignature, NoSubject, BadChain:
		return "the token is not valid"
	default:
		return "the token is not valid"
	}
}
