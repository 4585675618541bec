package openapi

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Selection says which operations of a document become tools: those that any of Include
// matches, or all if there is none, but none that any of Exclude matches.
type Selection struct {
	Include, Exclude []Match
}

// Match matches an operation for which all that it says is so.
type Match struct {
	ID     string // operationId, as a pattern of [path.Match]
	Tag    string
	Method string
	Path   string // as in the document, as a pattern of [path.Match]; /** at its end stands for all below
}

func (s Selection) check() error {
	for _, m := range slices.Concat(s.Include, s.Exclude) {
		if m == (Match{}) {
			return fmt.Errorf("operations: an entry that says nothing matches everything; remove it")
		}
		for _, pattern := range []string{m.ID, strings.TrimSuffix(m.Path, "/**")} {
			if _, err := path.Match(pattern, ""); err != nil {
				return fmt.Errorf("operations: %q is not a pattern", pattern)
			}
		}
	}
	return nil
}

// subject is an operation as far as it can be selected by it.
type subject struct {
	id, method, path string
	tags             []string
}

func (s Selection) selects(o subject) bool {
	matches := func(m Match) bool { return m.matches(o) }
	return (len(s.Include) == 0 || slices.ContainsFunc(s.Include, matches)) && !slices.ContainsFunc(s.Exclude, matches)
}

func (m Match) matches(o subject) bool {
	return (m.ID == "" || fits(m.ID, o.id)) &&
		(m.Tag == "" || slices.Contains(o.tags, m.Tag)) &&
		(m.Method == "" || strings.EqualFold(m.Method, o.method)) &&
		(m.Path == "" || below(m.Path, o.path))
}

func below(pattern, at string) bool {
	head, all := strings.CutSuffix(pattern, "/**")
	if !all {
		return fits(pattern, at)
	}
	segments := strings.Split(at, "/")
	depth := min(len(segments), strings.Count(head, "/")+1)
	return fits(head, strings.Join(segments[:depth], "/"))
}

// fits reports whether a pattern, which was checked, matches all of text.
func fits(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return ok && err == nil
}
