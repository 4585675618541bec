package secrets

import (
	_ "embed"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

//go:embed gitleaks.toml
var published []byte

// document is what gitleaks' file of rules says of texts; what it says of files and commits
// is left out.
type document struct {
	Allowlist ruleExceptions
	Rules     []struct {
		ID          string
		Regex       string
		Path        string // a rule about files of this name alone
		SecretGroup int
		Entropy     float64
		Keywords    []string
		Allowlists  []ruleExceptions
	}
}

type ruleExceptions struct {
	Condition   string
	RegexTarget string
	Paths       []string
	Regexes     []string
	StopWords   []string
}

// rule says what one kind of secret looks like.
type rule struct {
	name     string
	words    []string // in lower case; one of them is in every text that has such a secret
	look     *regexp.Regexp
	group    int     // of look, which is the secret; 0: the first that is not empty
	entropy  float64 // bits a character that a secret has more than
	excepted []exceptions
}

// exceptions say what is no secret though it looks like one.
type exceptions struct {
	whole bool // they are about all that look matches, not about the secret in it
	looks []*regexp.Regexp
	words []string // in lower case
}

func parseRules(text []byte) ([]rule, error) {
	var d document
	if err := toml.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	everywhere, err := exceptionsOf(d.Allowlist)
	if err != nil {
		return nil, err
	}
	var rules []rule
	for _, r := range d.Rules {
		if r.Regex == "" || r.Path != "" {
			continue
		}
		look, err := regexp.Compile(r.Regex)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.ID, err)
		}
		own, err := exceptionsOf(r.Allowlists...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.ID, err)
		}
		rules = append(rules, rule{
			name: r.ID, words: lower(r.Keywords), look: look, group: r.SecretGroup, entropy: r.Entropy,
			excepted: append(own, everywhere...),
		})
	}
	return rules, nil
}

// exceptionsOf leaves out those about files, and those about the line around a secret:
// whoever writes the line would say what is none.
func exceptionsOf(lists ...ruleExceptions) ([]exceptions, error) {
	var all []exceptions
	for _, l := range lists {
		if l.RegexTarget == "line" || l.Condition == "AND" {
			continue
		}
		e := exceptions{whole: l.RegexTarget == "match", words: lower(l.StopWords)}
		for _, text := range l.Regexes {
			look, err := regexp.Compile(text)
			if err != nil {
				return nil, err
			}
			e.looks = append(e.looks, look)
		}
		all = append(all, e)
	}
	return all, nil
}

func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}

// in finds the rule's secrets in a text.
func (r *rule) in(text string) (found []Found) {
	for _, at := range r.look.FindAllStringSubmatchIndex(text, -1) {
		from, to := r.secret(at)
		secret := text[from:to]
		if secret == "" || r.entropy > 0 && entropy(secret) <= r.entropy || r.none(text[at[0]:at[1]], secret) {
			continue
		}
		found = append(found, Found{r.name, from, to})
	}
	return found
}

// secret is where in a match the secret is.
func (r *rule) secret(match []int) (from, to int) {
	if r.group > 0 {
		return match[2*r.group], match[2*r.group+1]
	}
	for i := 2; i < len(match); i += 2 {
		if match[i] >= 0 && match[i] < match[i+1] {
			return match[i], match[i+1]
		}
	}
	return match[0], match[1]
}

// none reports whether what was found is excepted.
func (r *rule) none(match, secret string) bool {
	small := strings.ToLower(secret)
	for _, e := range r.excepted {
		about := secret
		if e.whole {
			about = match
		}
		for _, look := range e.looks {
			if look.MatchString(about) {
				return true
			}
		}
		if anyOf(e.words, small) {
			return true
		}
	}
	return false
}

// anyOf reports whether one of the words is in a text.
func anyOf(words []string, text string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// entropy is Shannon's, in bits a character.
func entropy(text string) (bits float64) {
	var n [256]float64
	for i := range len(text) {
		n[text[i]]++
	}
	for _, c := range n {
		if p := c / float64(len(text)); p > 0 {
			bits -= p * math.Log2(p)
		}
	}
	return bits
}
