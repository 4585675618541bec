package adopt

import (
	"maps"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names and values that are taken for secrets. Too much is better than too little: a secret that is moved
// away works as before.
var (
	secretName  = regexp.MustCompile(`(?i)(key|token|secret|passw|pwd|credential|auth|cookie|private|dsn|connection_?string)`)
	secretValue = regexp.MustCompile(`^(sk-|pk-|ghp_|gho_|github_pat_|glpat-|xox[abp]-|AKIA|ya29\.|eyJ)|://[^/@\s]+:[^/@\s]+@|-----BEGIN`)
)

const (
	minSecret  = 20  // characters of a value that may be random
	minEntropy = 3.8 // bits a character
)

func isSecret(name, value string) bool {
	switch {
	case value == "" || value == "true" || value == "false":
		return false
	case secretName.MatchString(name) || secretValue.MatchString(value):
		return true
	default:
		return len(value) >= minSecret && !strings.ContainsAny(value, "/\\ ") && entropy(value) >= minEntropy
	}
}

const hidden = "(secret)"

// exposed finds what looks like a secret where no reference can stand for it: in the arguments of a command and
// in a URL. It gives what each is called, and the secrets.
func exposed(e entry) (names, values []string) {
	found := func(name, value string) {
		names, values = append(names, name), append(values, value)
	}
	for i, word := range e.command {
		name, value, joined := strings.Cut(word, "=")
		switch {
		case i == 0:
		case joined && strings.HasPrefix(name, "-") && isSecret(name, value):
			found(name, value)
		case strings.HasPrefix(word, "-"):
		case i > 1 && strings.HasPrefix(e.command[i-1], "-") && !strings.Contains(e.command[i-1], "=") && secretName.MatchString(e.command[i-1]):
			found(e.command[i-1], word)
		case secretValue.MatchString(word):
			found("argument "+strconv.Itoa(i), word)
		}
	}
	u, err := url.Parse(e.url)
	if err != nil {
		return names, values
	}
	if password, there := u.User.Password(); there {
		found("the password in its URL", password)
	}
	for _, name := range slices.Sorted(maps.Keys(u.Query())) {
		if value := u.Query().Get(name); isSecret(name, value) {
			found("?"+name, value)
		}
	}
	return names, values
}

// without is a text without secrets, to be shown.
func without(text string, secrets []string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(strings.ReplaceAll(text, secret, hidden), url.QueryEscape(secret), hidden)
	}
	return text
}

// entropy is Shannon's, in bits a character.
func entropy(text string) float64 {
	count := map[rune]float64{}
	for _, r := range text {
		count[r]++
	}
	bits, all := 0.0, float64(len([]rune(text)))
	for _, n := range count {
		bits -= n / all * math.Log2(n/all)
	}
	return bits
}
