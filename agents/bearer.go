package agents

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrHeader is in the chain of a rejection when the Authorization header itself is at
// fault: RFC 6750 section 3.1 answers it with invalid_request.
var ErrHeader = errors.New("the Authorization header is malformed")

// maxBearer bounds the token that [Bearer] takes out of a header, in bytes.
const maxBearer = 16 << 10

// Bearer reads the token of an Authorization header (RFC 6750 section 2.1). The
// rejection is of kind Missing when there is no bearer token, else of kind Malformed
// and wraps [ErrHeader].
func Bearer(header http.Header) (string, *Rejection) {
	values := header["Authorization"]
	if len(values) == 0 {
		return "", &Rejection{Kind: Missing}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch {
	case len(values) > 1:
		return "", malformed("there is more than one")
	case !strings.EqualFold(scheme, "bearer"):
		return "", &Rejection{Kind: Missing, Err: errors.New("another authentication scheme")}
	case len(token) > maxBearer:
		return "", malformed("the token is too long")
	case !isToken68(token):
		return "", malformed("it holds no bearer token")
	}
	return token, nil
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
