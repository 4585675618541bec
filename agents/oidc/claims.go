package oidc

import (
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/agents"
)

// maxName bounds every string of a token that gets into an identity.
const maxName = 255

// claimSet is a JSON object as it came. Its decoder tells the case of names and
// refuses duplicated ones at every depth.
type claimSet map[string]jsontext.Value

func decodeClaims(raw []byte) (claimSet, bool) {
	var c claimSet
	if err := json.Unmarshal(raw, &c); err != nil || c == nil {
		return nil, false
	}
	return c, true
}

func (c claimSet) has(name string) bool {
	_, ok := c[name]
	return ok
}

// hasVariant tells whether a name is a registered one but for its case: readers
// that fold case, as go-oidc does, would take one for the other.
func (c claimSet) hasVariant() bool {
	for name := range c {
		switch lower := strings.ToLower(name); lower {
		case "iss", "sub", "aud", "exp", "iat", "nbf", "act", "may_act", "azp", "client_id", "cnf":
			if name != lower {
				return true
			}
		}
	}
	return false
}

// text is a string claim; empty if there is none.
func (c claimSet) text(name string) (string, *agents.Rejection) {
	raw, ok := c[name]
	if !ok {
		return "", nil
	}
	s, ok := asText(raw)
	if !ok {
		return "", refuse(agents.Malformed, name+" is not a string")
	}
	return s, nil
}

// name is a string claim that is fit to be shown and compared; empty if there is none.
func (c claimSet) name(name string) (string, *agents.Rejection) {
	s, rejection := c.text(name)
	if rejection == nil && c.has(name) && !isName(s) {
		return "", refuse(agents.Malformed, name+" is empty, too long, or has characters that do not print")
	}
	return s, rejection
}

// texts is a claim of strings, or of one string; nil if there is none.
func texts(raw jsontext.Value, name string) ([]string, *agents.Rejection) {
	if raw == nil {
		return nil, nil
	}
	if s, ok := asText(raw); ok {
		return []string{s}, nil
	}
	var values []jsontext.Value
	if raw.Kind() != '[' || json.Unmarshal(raw, &values) != nil {
		return nil, refuse(agents.Malformed, name+" is neither a string nor a list of strings")
	}
	out := make([]string, 0, len(values))
	for _, value := range values {
		s, ok := asText(value)
		if !ok {
			return nil, refuse(agents.Malformed, name+" holds something that is not a string")
		}
		out = append(out, s)
	}
	return out, nil
}

// latest is the last second that a token may speak of, in the year 5138.
const latest = 1e11

// instant is a NumericDate (RFC 7519 section 2), which may have a fraction.
func (c claimSet) instant(name string) (time.Time, *agents.Rejection) {
	raw, ok := c[name]
	if !ok {
		return time.Time{}, refuse(agents.Malformed, name+" is missing")
	}
	var seconds float64
	if raw.Kind() != '0' || json.Unmarshal(raw, &seconds) != nil || seconds <= 0 || seconds > latest {
		return time.Time{}, refuse(agents.Malformed, name+" is not a time in seconds")
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), nil
}

// at is the claim at a path: the claim of that whole name if there is one (some
// providers put URLs there), else the nested one. It is nil if there is none.
func (c claimSet) at(path string) jsontext.Value {
	if raw, ok := c[path]; ok {
		return raw
	}
	head, rest, nested := strings.Cut(path, ".")
	if !nested || c[head].Kind() != '{' {
		return nil
	}
	inner, ok := decodeClaims(c[head])
	if !ok {
		return nil
	}
	return inner.at(rest)
}

func asText(raw jsontext.Value) (string, bool) {
	if raw.Kind() != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// isName tells whether people can read s and tell it from another: it has no
// control, formatting (bidirectional, zero-width) or private characters, and no
// blanks but single spaces inside.
func isName(s string) bool {
	if s == "" || len(s) > maxName || !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.Contains(s, "  ") {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
