package notify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine  = 500 // bytes of a sentence
	maxMarks = 2   // that may stand on one character
)

// visible is text of strangers for one line: whatever does not show, moves the cursor or
// reorders what stands there is written as its number, and so are letters that imitate
// Latin ones among those.
func visible(s string) string {
	var b strings.Builder
	marks := 0
	for len(s) > 0 {
		n := wordEnd(s)
		if n == 0 {
			r, size := utf8.DecodeRuneInString(s)
			s = s[size:]
			if marks++; !unicode.Is(unicode.M, r) {
				marks = 0
			}
			if hidden(r) || marks > maxMarks || r == utf8.RuneError && size == 1 {
				number(&b, r)
			} else {
				b.WriteRune(r)
			}
			continue
		}
		writeWord(&b, s[:n])
		s, marks = s[n:], 0
	}
	return b.String()
}

func number(b *strings.Builder, r rune) { fmt.Fprintf(b, "⟨U+%04X⟩", r) }

// hidden reports whether a reader would not see r, or not for what it is.
func hidden(r rune) bool {
	return !unicode.IsPrint(r) || r == '\u2800' ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// wordEnd is the length of the letters that s begins with.
func wordEnd(s string) int {
	end := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) || hidden(r) })
	if end < 0 {
		return len(s)
	}
	return end
}

// writeWord writes letters; in a word that is partly Latin, those of scripts that look
// like it as their numbers.
func writeWord(b *strings.Builder, word string) {
	latin := strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Latin, r) })
	for _, r := range word {
		if latin && unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee) {
			number(b, r)
		} else {
			b.WriteRune(r)
		}
	}
}

// unlinked is visible text in which no reader finds an address to make a link of.
func unlinked(s string) string {
	s = strings.ReplaceAll(visible(s), "://", "[:]//")
	var b strings.Builder
	for i, r := range s {
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		if r == '.' && unicode.IsLetter(after) && (unicode.IsLetter(before) || unicode.IsDigit(before) || before == '-') {
			b.WriteString("[.]")
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// clip bounds a line.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
