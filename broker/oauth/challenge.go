package oauth

import (
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

const (
	maxScopes  = 64  // that an upstream can ask for
	maxScope   = 256 // bytes of one
	maxServers = 8   // authorization servers of an upstream that are looked at
	maxWords   = 300 // characters of a stranger's that are shown to an operator

	insufficientScope = "insufficient_scope"
)

// challenge is what an upstream asks for.
type challenge struct {
	metadata string // where its metadata are; empty if it does not say
	scopes   []string
	code     string // such as insufficient_scope
}

// challengeOf reads the first bearer challenge of an answer (RFC 6750 section 3). One that
// cannot be read asks for nothing in particular.
func challengeOf(r *http.Response) challenge {
	all, err := oauthex.ParseWWWAuthenticate(r.Header.Values("WWW-Authenticate"))
	if err != nil {
		return challenge{}
	}
	for _, one := range all {
		if one.Scheme == "bearer" {
			return challenge{one.Params["resource_metadata"], bounded(strings.Fields(one.Params["scope"])), one.Params["error"]}
		}
	}
	return challenge{}
}

// bounded is a list of scopes that is neither too long nor has anything in it that is no
// scope (RFC 6749 section 3.3).
func bounded(scopes []string) []string {
	var kept []string
	for _, s := range scopes {
		ok := s != "" && len(s) <= maxScope && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r >= 0x7f })
		if ok && !slices.Contains(kept, s) && len(kept) < maxScopes {
			kept = append(kept, s)
		}
	}
	return kept
}

// union has what any list has, in the order of the lists.
func union(lists ...[]string) []string { return bounded(slices.Concat(lists...)) }

// within reports whether all of some is in all.
func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// printable is a stranger's text, safe for a terminal.
func printable(s string) string {
	out := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s[:min(len(s), 4*maxWords)]))
	return string(out[:min(len(out), maxWords)])
}
