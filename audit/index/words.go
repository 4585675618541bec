package index

import (
	"bytes"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit/calls"
)

// Bounds of what is indexed and searched.
const (
	// MaxText is how many bytes of a call's arguments are searchable.
	MaxText = 16 << 10
	// MaxTerms is how many words a search can have.
	MaxTerms = 32

	maxWord = 128 // bytes of one word, in the index as in a search
	joiners = "_-.@"
)

// words is the text of a call as the index keeps it: words apart by spaces, those
// with joiners (payments.refund) whole and in parts.
type words struct{ text []byte }

// String is the text.
func (w *words) String() string { return string(w.text) }

func (w *words) add(texts ...string) {
	for _, text := range texts {
		for _, word := range split(text) {
			w.word(word)
			if parts := strings.FieldsFunc(word, isJoiner); len(parts) > 1 {
				for _, p := range parts {
					w.word(p)
				}
			}
		}
	}
}

func (w *words) word(s string) {
	if len(s) <= maxWord {
		w.text = append(append(w.text, s...), ' ')
	}
}

// json adds the names, strings and numbers of a JSON text, as far as it goes.
func (w *words) json(body []byte) {
	body = body[:min(len(body), MaxText)]
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		t, err := d.ReadToken()
		if err != nil {
			break
		}
		if k := t.Kind(); k == '"' || k == '0' || k == 't' || k == 'f' {
			w.add(t.String())
		}
	}
	if rest := body[d.InputOffset():]; len(rest) > 0 { // cut, or no JSON
		w.add(string(rest))
	}
}

func isJoiner(r rune) bool { return strings.ContainsRune(joiners, r) }

func split(text string) []string {
	fields := strings.FieldsFunc(strings.ToValidUTF8(text, " "), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !isJoiner(r)
	})
	out := fields[:0]
	for _, f := range fields {
		if f = strings.Trim(f, joiners); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// match turns what a person typed into a search for calls with all of its words.
// A word that ends in * stands for all that begin so. Everything else is text:
// each word is quoted. It returns "" if there is no word.
func match(typed string) string {
	var terms []string
	for field := range strings.FieldsSeq(typed) {
		found := split(field)
		for n, word := range found {
			if len(terms) == MaxTerms {
				return strings.Join(terms, " AND ")
			}
			term := `"` + word[:min(len(word), maxWord)] + `"`
			if n == len(found)-1 && strings.HasSuffix(field, "*") {
				term += " *"
			}
			terms = append(terms, term)
		}
	}
	return strings.Join(terms, " AND ")
}

// textOf is everything that a call can be found by in words. Its arguments may be nil.
func textOf(c *calls.Call, arguments []byte) string {
	var w words
	w.add(c.ID, c.Domain, c.Intent.Tool, c.Intent.Identity.Principal, c.Intent.Client, c.Intent.IdempotencyKey, c.Intent.Identity.Session)
	for _, a := range c.Intent.Identity.Chain {
		w.add(a.ID)
	}
	for _, d := range decisions(c) {
		for _, r := range d.Reasons {
			w.add(r.Policy, r.Text)
		}
	}
	for _, v := range c.Votes {
		w.add(v.By.Principal, v.Reason)
	}
	w.add(c.Outcome.Code, c.Outcome.Reason)
	if c.Outcome.By != nil {
		w.add(c.Outcome.By.Principal)
	}
	if c.Reconciled != nil {
		w.add(c.Reconciled.By.Principal, c.Reconciled.Note)
	}
	w.json(arguments)
	return w.String()
}
