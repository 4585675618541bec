package adopt

import (
	"math"
	"regexp"
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
