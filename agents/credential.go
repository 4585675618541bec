package agents

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrHeader is in the chain of a rejection when the way that a token was presented is
// at fault: RFC 6750 section 3.1 answers it with invalid_request.
var ErrHeader = errors.New("the Authorization header is malformed")

// Bounds on what [FromRequest] takes out of headers, in bytes.
const (
	maxToken = 16 << 10
	maxProof = 4 << 10
)

// Scheme is how a token is presented.
type Scheme uint8

// NonceHeader is where an answer has the nonce for proofs to come (RFC 9449 section 8).
const NonceHeader = "DPoP-Nonce"

// The schemes.
const (
	Bearer Scheme = iota // RFC 6750
	DPoP                 // RFC 9449: with a proof that its bearer has the key that it is bound to
)

// Credential is what a request shows of who makes it.
type Credential struct {
	Token  string
	Scheme Scheme
	Proof  string // the DPoP header; empty if there is none
	Method string // of the request, for the proof
	URL    string // canonical, without a query: what the proof must name
	// Resource is that at which the token is presented, if a narrower one than all of the
	// broker: a token that is meant for it alone is accepted there. It is empty otherwise.
	Resource string
	// NextNonce hears of the nonce that DPoP proofs are to carry from now on, where they must
	// carry one, for the header DPoP-Nonce of the answer; may be nil.
	NextNonce func(nonce string)
	// Again says that this very request was accepted before and goes on: its proof
	// is not asked for a second time.
	Again bool
}

// FromRequest reads the credential of a request to the resource server at canonical,
// its scheme and host. The rejection is of kind Missing when there is no token, else of
// kind Malformed and wraps [ErrHeader]. A token anywhere but in the header is never taken.
func FromRequest(r *http.Request, canonical string) (Credential, *Rejection) {
	c := Credential{Method: r.Method, URL: canonical + r.URL.EscapedPath()}
	if hasQueryToken(r.URL.RawQuery) {
		return Credential{}, malformed("the token is in the address: send it in the header alone")
	}
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return Credential{}, &Rejection{Kind: Missing}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch {
	case len(values) > 1:
		return Credential{}, malformed("there is more than one")
	case strings.EqualFold(scheme, "bearer"):
	case strings.EqualFold(scheme, "dpop"):
		c.Scheme = DPoP
	default:
		return Credential{}, &Rejection{Kind: Missing, Err: errors.New("another authentication scheme")}
	}
	switch proofs := r.Header["Dpop"]; {
	case len(token) > maxToken:
		return Credential{}, malformed("the token is too long")
	case !isToken68(token):
		return Credential{}, malformed("it holds no token")
	case len(proofs) > 1:
		return Credential{}, malformed("there is more than one DPoP proof")
	case len(proofs) == 1 && len(proofs[0]) > maxProof:
		return Credential{}, malformed("the DPoP proof is too long")
	case len(proofs) == 1:
		c.Proof = proofs[0]
	}
	c.Token = token
	return c, nil
}

// hasQueryToken tells whether a query has the parameter of RFC 6750 section 2.3, which
// must not be used.
func hasQueryToken(query string) bool {
	for parameter := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(parameter, "="); name == "access_token" {
			return true
		}
	}
	return false
}

func malformed(why string) *Rejection {
	return &Rejection{Kind: Malformed, Err: fmt.Errorf("%w: %s", ErrHeader, why)}
}

// isToken68 reports whether s is a b64token of RFC 6750.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for _, c := range []byte(body) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", rune(c)) {
			return false
		}
	}
	return true
}
