package httpapi

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a list.
const (
	DefaultLimit = 50
	MaxLimit     = 500

	maxParameter = 4 << 10 // bytes of one query parameter
)

// parameters are a request's query, read strictly: an unknown or repeated parameter
// is an error, so that a misspelt filter never finds more than was asked for.
type parameters struct {
	values url.Values
	err    error
}

func parse(query string, allowed ...string) *parameters {
	p := &parameters{}
	if p.values, p.err = url.ParseQuery(query); p.err != nil {
		p.err = invalid("the query does not parse")
		return p
	}
	for name, values := range p.values {
		switch {
		case !slices.Contains(allowed, name):
			p.err = invalid("there is no parameter %s here; there are: %s", printable(name), strings.Join(allowed, ", "))
		case len(values) > 1:
			p.err = invalid("the parameter %s is given more than once", name)
		case len(values[0]) > maxParameter || !utf8.ValidString(values[0]) || strings.ContainsRune(values[0], 0):
			p.err = invalid("the parameter %s is too long or not text", name)
		}
	}
	return p
}

func (p *parameters) text(name string) string { return p.values.Get(name) }

// given reports which of the names have a value.
func (p *parameters) given(names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return p.values.Get(n) == "" })
}

func (p *parameters) time(name string) time.Time {
	s := p.values.Get(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		p.fail(invalid("%s must be a time as in RFC 3339, like 2026-11-24T03:00:00Z", name))
	}
	return t.UTC()
}

// number is a whole number from least on; without one, def.
func (p *parameters) number(name string, least, def int64) int64 {
	s := p.values.Get(name)
	if s == "" {
		return def
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least {
		p.fail(invalid("%s must be a whole number from %d on", name, least))
	}
	return n
}

func (p *parameters) limit() int {
	n := p.number("limit", 1, DefaultLimit)
	if n > MaxLimit {
		p.fail(invalid("limit must be at most %d", MaxLimit))
	}
	return int(n)
}

func (p *parameters) one(name string, allowed ...string) string {
	s := p.values.Get(name)
	if s != "" && !slices.Contains(allowed, s) {
		p.fail(invalid("%s must be one of %s", name, strings.Join(allowed, ", ")))
	}
	return s
}

// word is a short name.
func (p *parameters) word(name string) string {
	s := p.values.Get(name)
	if len(s) > 32 || strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
		p.fail(invalid("%s must be a word of at most 32 of a-z and 0-9", name))
	}
	return s
}

// maxArguments is how many arguments one search can name.
const maxArguments = 8

// arguments are name=value pairs, one a line. A name is a member of the arguments, or a
// JSON pointer into them.
func (p *parameters) arguments(name string) []string {
	var list []string
	for pair := range strings.Lines(p.values.Get(name)) {
		field, value, ok := strings.Cut(strings.TrimRight(pair, "\r\n"), "=")
		if !ok || field == "" || len(list) == maxArguments {
			p.fail(invalid("%s must be at most %d lines of the form name=value or /json/pointer=value", name, maxArguments))
			return nil
		}
		if !strings.HasPrefix(field, "/") {
			field = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(field)
		}
		list = append(list, field+"="+value)
	}
	return list
}

func (p *parameters) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// printable is a stranger's text fit for a sentence.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strconv.QuoteToASCII(strings.ToValidUTF8(s, ""))
}

// page sorts a list that is in memory by key, and cuts it by limit and cursor. The cursor
// names the last item of the page before, which need not be there any more.
func page[T any](items []T, key func(T) string, limit int, cursor string) (List[T], error) {
	slices.SortStableFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if cursor != "" {
		last, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || !utf8.Valid(last) {
			return List[T]{}, invalid("the cursor is not one of this list")
		}
		items = slices.DeleteFunc(items, func(item T) bool { return key(item) <= string(last) })
	}
	list := List[T]{Items: items}
	if len(items) > limit {
		list.Items = items[:limit]
		list.Next = base64.RawURLEncoding.EncodeToString([]byte(key(items[limit-1])))
	}
	return list, nil
}
