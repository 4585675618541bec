package notify

import (
	"math"
	"regexp"
	"strings"
	"unicode"
)

// secretName is what arguments are called that hold secrets.
var secretName = regexp.MustCompile(`(?i)(pass(word|wd|phrase|code)?|secret|token|api[_-]?key|access[_-]?key|private|credential|authorization|bearer|cookie|session|otp|pin|cvv|cvc)s?$`)

// secretForm is what well-known secrets look like, wherever they stand.
var secretForm = regexp.MustCompile(`-----BEGIN |\beyJ[A-Za-z0-9_-]{10,}\.|\b(sk|pk|rk)[-_](live|test|proj|ant)?[-_A-Za-z0-9]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_|\bglpat-|\bxox[abprs]-|\bAKIA[0-9A-Z]{16}|\bAIza[0-9A-Za-z_-]{30,}|\bwhsec_|://[^/\s:@]+:[^/\s@]+@|(?i)\b(bearer|basic) [a-z0-9._~+/=-]{12,}`)

const (
	leastSecret  = 20  // characters of a word that may be a key
	leastEntropy = 3.6 // bits a character that one has
)

// Secret reports whether an argument is, or has in it, what looks like a secret: by its
// name, by its form, or because no word of people's is like it.
func Secret(field, text string) bool {
	name := field[strings.LastIndexByte(field, '/')+1:]
	if secretName.MatchString(name) || secretForm.MatchString(text) {
		return true
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`"'<>(),;=`, r) }) {
		if len(word) >= leastSecret && mixed(word) && entropy(word) >= leastEntropy {
			return true
		}
	}
	return false
}

// mixed reports whether a word has what keys have: digits between letters, and no sign that people use in
// names and addresses.
func mixed(word string) bool {
	digits, letters := 0, 0
	for _, r := range word {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case unicode.IsLetter(r):
			letters++
		case strings.ContainsRune("@:.", r):
			return false
		}
	}
	return digits >= 3 && letters >= 5 && !uuid.MatchString(word)
}

// uuid is what names a thing, and opens none.
var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// entropy is that of the characters of a word, in bits each.
func entropy(word string) float64 {
	counts := map[rune]float64{}
	n := 0.0
	for _, r := range word {
		counts[r]++
		n++
	}
	bits := 0.0
	for _, c := range counts {
		bits -= c / n * math.Log2(c/n)
	}
	return bits
}
