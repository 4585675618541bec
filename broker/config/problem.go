package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a deed.yaml, at the place where it is.
type Problem struct { //nolint:errname // one of many, and an error only by the way
	File         string // empty when the configuration was not read from one
	Line, Column int    // from 1; 0 when the key is not in the file
	Key          string // such as upstreams.files.domain or issuers[0].url; empty for the whole file
	Message      string // what is wrong and what mends it; never a value that may be a secret
	Excerpt      string // the key in its line, and a caret below it; empty without a place
}

// Error is all of it, on one line or, with an excerpt, on three.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Problems is everything that is wrong, in the order of the file where it has one.
type Problems []*Problem //nolint:errname // as Problem

// Error is one problem after another.
func (ps Problems) Error() string {
	all := make([]string, len(ps))
	for i, p := range ps {
		all[i] = p.Error()
	}
	return strings.Join(all, "\n")
}

// Unwrap lets errors.As find a single Problem.
func (ps Problems) Unwrap() []error {
	all := make([]error, len(ps))
	for i, p := range ps {
		all[i] = p
	}
	return all
}

func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

func problem(key, format string, args ...any) *Problem {
	return &Problem{Key: key, Message: fmt.Sprintf(format, args...)}
}

func child(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func item(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// parent is the key above, empty for a top-level one.
func parent(key string) string { return key[:max(0, strings.LastIndexAny(key, ".["))] }

// source is the text of a deed.yaml and where its keys are.
type source struct {
	name   string
	lines  []string
	places map[string]place
}

type place struct{ line, column int }

func newSource(name string, text []byte) *source {
	return &source{name: name, lines: strings.Split(string(text), "\n"), places: map[string]place{}}
}

// locate says in each problem where it is: at its key, or at the nearest one above
// that the file has.
func (s *source) locate(err error) error {
	problems, ok := errors.AsType[Problems](err)
	if !ok {
		return err
	}
	for _, p := range problems {
		p.File = s.name
		for key := p.Key; p.Line == 0 && key != ""; key = parent(key) {
			if at, known := s.places[key]; known {
				p.Line, p.Column = at.line, at.column
			}
		}
		p.Excerpt = s.excerpt(p.Line, p.Column)
	}
	slices.SortStableFunc(problems, func(a, b *Problem) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column)
	})
	return problems
}

// excerpt shows the word at a place. Whatever else is on the line is left out: it
// may be a secret.
func (s *source) excerpt(line, column int) string {
	if line < 1 || line > len(s.lines) {
		return ""
	}
	text := []rune(strings.TrimRight(s.lines[line-1], "\r"))
	start := min(max(column-1, 0), len(text))
	end := start
	for end < len(text) && isWord(text[end]) {
		end++
	}
	if end == start || end == len(text) || text[end] != ':' {
		return "" // a value, not a key
	}
	before := string(text[:start])
	if strings.Trim(before, " -") != "" {
		before = "… "
	}
	gutter := fmt.Sprintf("%5d | ", line)
	blank := strings.Repeat(" ", len(gutter)-2) + "| "
	indent := strings.Repeat(" ", len([]rune(before)))
	return gutter + before + string(text[start:end]) + ": …\n" + blank + indent + strings.Repeat("^", end-start)
}

func isWord(r rune) bool {
	return r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
