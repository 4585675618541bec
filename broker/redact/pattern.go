package redact

import (
	"fmt"
	"strings"
)

const (
	maxPattern  = 256 // bytes
	anyOne      = "*"
	anyNumberOf = "**"
)

// Pattern names fields of a JSON document.
type Pattern struct {
	text  string
	steps []string
}

// ParsePattern reads a JSON pointer with stars.
func ParsePattern(text string) (Pattern, error) {
	switch {
	case !strings.HasPrefix(text, "/") || len(text) > maxPattern:
		return Pattern{}, fmt.Errorf("%q is no JSON pointer such as /card/number or /**/password", text)
	case strings.HasSuffix(text, "/"+anyNumberOf):
		return Pattern{}, fmt.Errorf("%q ends in **: name what is redacted, or * for anything", text)
	}
	p := Pattern{text: text, steps: strings.Split(text[1:], "/")}
	for i, s := range p.steps {
		p.steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return p, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// matches reports whether a path leads to what the pattern names.
func (p Pattern) matches(path []string) bool { return leads(p.steps, path) }

func leads(steps, path []string) bool {
	switch {
	case len(steps) == 0:
		return len(path) == 0
	case steps[0] == anyNumberOf:
		return leads(steps[1:], path) || (len(path) > 0 && leads(steps, path[1:]))
	default:
		return len(path) > 0 && (steps[0] == anyOne || steps[0] == path[0]) && leads(steps[1:], path[1:])
	}
}
