package secrets

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
)

// Found is a secret in a text.
type Found struct {
	Rule     string // the name of the rule that found it, such as github-pat
	From, To int    // where it is, in bytes
}

// Finder knows what secrets look like. It is safe for concurrent use.
type Finder struct {
	rules func() (*ruleSet, error)
}

// New returns a finder. Its rules are compiled once for all, when they are needed first.
func New() *Finder { return &Finder{rules: compiled} }

// ruleSet are rules with their words in one automaton: most texts have none of them, and
// are not looked at again.
type ruleSet struct {
	rules  []rule
	words  *ahocorasick.Trie
	asking [][]int // of each word: the rules that it is of
	always []int   // the rules without words
}

// compiled are the rules; they take a tenth of a second and some megabytes.
var compiled = sync.OnceValues(func() (*ruleSet, error) { //nolint:gochecknoglobals // never written
	rules, err := parseRules(published)
	if err != nil {
		return nil, fmt.Errorf("read rules of secrets: %w", err)
	}
	return newRuleSet(rules), nil
})

func newRuleSet(rules []rule) *ruleSet {
	s := &ruleSet{rules: rules}
	var words []string
	for i, r := range rules {
		if len(r.words) == 0 {
			s.always = append(s.always, i)
		}
		for _, w := range r.words {
			at := slices.Index(words, w)
			if at < 0 {
				at, words, s.asking = len(words), append(words, w), append(s.asking, nil)
			}
			s.asking[at] = append(s.asking[at], i)
		}
	}
	s.words = ahocorasick.NewTrieBuilder().AddStrings(words).Build()
	return s
}

// worth tells of each rule whether a text may have secrets of it.
func (s *ruleSet) worth(text string) []bool {
	worth := make([]bool, len(s.rules))
	for _, i := range s.always {
		worth[i] = true
	}
	s.words.Walk([]byte(strings.ToLower(text)), func(_, _, word int64) bool {
		for _, i := range s.asking[word] {
			worth[i] = true
		}
		return true
	})
	return worth
}

// Find tells where secrets are, in order, none within another.
func (f *Finder) Find(text string) ([]Found, error) {
	s, err := f.rules()
	if err != nil {
		return nil, err
	}
	var all []Found
	for i, worth := range s.worth(text) {
		if worth {
			all = append(all, s.rules[i].in(text)...)
		}
	}
	sought := map[string]bool{}
	for _, f := range slices.Clip(all) { // wherever it stands, looked for once
		if secret := f.Rule + "\x00" + text[f.From:f.To]; !sought[secret] {
			sought[secret] = true
			all = append(all, again(text, f)...)
		}
	}
	slices.SortFunc(all, func(a, b Found) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return b.To - a.To // the longest first
	})
	return apart(all), nil
}

// again finds other places of what was found.
func again(text string, f Found) (more []Found) {
	secret := text[f.From:f.To]
	for from := 0; ; {
		at := strings.Index(text[from:], secret)
		if at < 0 {
			return more
		}
		from += at + len(secret)
		more = append(more, Found{f.Rule, from - len(secret), from})
	}
}

// apart leaves out what is within, or overlaps with, one before it; what sticks out is added to that.
func apart(all []Found) []Found {
	var kept []Found
	for _, f := range all {
		if n := len(kept); n > 0 && f.From < kept[n-1].To {
			kept[n-1].To = max(kept[n-1].To, f.To)
			continue
		}
		kept = append(kept, f)
	}
	return kept
}
