package index

import (
	"bytes"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/unicode/norm"

	"github.com/deedbroker/deed/audit/calls"
)

// Bounds of what is indexed and searched.
const (
	// MaxText is how many bytes of a call's arguments are searchable.
	MaxText = 16 << 10
	// MaxTerms is how many words a search can have.
	MaxTerms = 32

	// MaxFields is how many arguments of a call can be searched for by their names.
	MaxFields = 32

	maxWord = 128 // bytes of one word, in the index as in a search
	joiners = "_-.@"

	// argumentMark stands before the words of arguments, and in no word.
	argumentMark = "+"
)

// words is the text of a call as the index keeps it: words apart by spaces, those
// with joiners (payments.refund) whole and in parts. It can be used again.
type words struct {
	text []byte
	mark string // of the words that are added
	json jsontext.Decoder
}

// add appends the words of texts.
func (w *words) add(texts ...string) {
	for _, text := range texts {
		for word := range split(text) {
			w.word(word)
			w.parts(word)
		}
	}
}

// whole appends the words of names that nobody knows a part of.
func (w *words) whole(names ...string) {
	for _, name := range names {
		for word := range split(name) {
			w.word(word)
		}
	}
}

// parts appends what joiners hold together.
func (w *words) parts(word string) {
	start := 0
	for i := range len(word) {
		if isJoiner(rune(word[i])) {
			w.word(word[start:i])
			start = i + 1
		}
	}
	if start > 0 {
		w.word(word[start:])
	}
}

func (w *words) word(s string) {
	if s != "" && len(s) <= maxWord {
		w.text = append(append(append(w.text, w.mark...), plain(s)...), ' ')
	}
}

// facet appends the token of a facet.
func (w *words) facet(kind, value string) {
	if value != "" {
		w.text = append(append(w.text, facetToken(kind, value)...), ' ')
	}
}

// arguments appends the names, strings and numbers of a JSON text, as far as it goes,
// and a facet for each of the first values. Its words are marked, so that they are found
// only by those who may read arguments.
func (w *words) arguments(body []byte) {
	w.mark = argumentMark
	defer func() { w.mark = "" }()
	fields := 0
	body = body[:min(len(body), MaxText)]
	w.json.Reset(bytes.NewBuffer(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		t, err := w.json.ReadToken()
		if err != nil {
			break
		}
		if k := t.Kind(); k == '"' || k == '0' || k == 't' || k == 'f' {
			text := t.String()
			w.add(text)
			if fields < MaxFields && len(text) <= maxWord && w.isValue() {
				fields++
				w.facet(facetArgument, argument(string(w.json.StackPointer()), text))
			}
		}
	}
	if rest := body[w.json.InputOffset():]; len(rest) > 0 { // cut, or no JSON
		w.add(string(rest))
	}
}

// isValue reports whether the token read last is a value of an object or array, not a name.
func (w *words) isValue() bool {
	kind, length := w.json.StackIndex(w.json.StackDepth())
	return kind != '{' || length%2 == 0
}

// argument is the value of the facet of an argument.
func argument(pointer, text string) string { return pointer + "=" + text }

func isJoiner(r rune) bool { return r == '_' || r == '-' || r == '.' || r == '@' }

func isOfWord(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || isJoiner(r)
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// split yields the words of a text. What is not UTF-8 stands between words.
func split(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start := -1
		for at, r := range text {
			if isOfWord(r) {
				if start < 0 {
					start = at
				}
				continue
			}
			if start >= 0 && !yieldWord(text[start:at], yield) {
				return
			}
			start = -1
		}
		if start >= 0 {
			yieldWord(text[start:], yield)
		}
	}
}

// yieldWord yields a word without joiners at its ends, if anything is left of it.
func yieldWord(word string, yield func(string) bool) bool {
	for word != "" && isJoiner(rune(word[0])) {
		word = word[1:]
	}
	for word != "" && isJoiner(rune(word[len(word)-1])) {
		word = word[:len(word)-1]
	}
	return word == "" || yield(word)
}

// plain is a word without what does not tell words apart: diacritics and, beyond
// ASCII, case. That of ASCII letters is the full text's own business.
func plain(word string) string {
	for i := range len(word) {
		if word[i] >= utf8.RuneSelf {
			return strings.Map(func(r rune) rune {
				if unicode.Is(unicode.Mn, r) {
					return -1
				}
				return unicode.ToLower(r)
			}, norm.NFD.String(word))
		}
	}
	return word
}

// term is a word that calls are to have, or the beginning of one.
type term struct {
	word   string
	prefix bool
}

// quoted is the term for the full text: in what is known of a call beside its arguments, or
// also in these. Empty: nothing has such a word.
func (t term) quoted(spelled map[string][]string, alsoArguments bool) string {
	all := t.spellings(t.word, spelled)
	if alsoArguments {
		all = append(all, t.spellings(argumentMark+t.word, spelled)...)
	}
	if len(all) == 0 {
		return ""
	}
	return `(` + strings.Join(all, ` OR `) + `)`
}

// spellings are the words that a term stands for, or its beginning if they are many.
func (t term) spellings(word string, spelled map[string][]string) []string {
	words, few := spelled[word]
	switch {
	case !t.prefix:
		return []string{`"` + word + `"`}
	case !few:
		return []string{`"` + word + `" *`}
	}
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = `"` + w + `"`
	}
	return quoted
}

// fits reports whether a word of a text is what the term asks for.
func (t term) fits(word string) bool {
	if t.prefix {
		word = word[:min(len(word), len(t.word))]
	}
	return strings.EqualFold(word, t.word)
}

// match turns what a person typed into a search for calls with all of its words.
// A word that ends in * stands for all that begin so. Everything else is text:
// each word is quoted. There are no terms if there is no word.
func match(typed string) []term {
	var terms []term
	for field := range strings.FieldsSeq(typed) {
		before := len(terms)
		for word := range split(field) {
			if word = plain(word[:min(len(word), maxWord)]); word != "" {
				terms = append(terms, term{word: word})
			}
			if len(terms) == MaxTerms {
				return terms
			}
		}
		if len(terms) > before && strings.HasSuffix(field, "*") {
			terms[len(terms)-1].prefix = true
		}
	}
	return terms
}

// FoundWithoutArguments reports whether a call that a query finds fits it by what is known
// of the call beside its arguments. What else the query asks for is not looked at.
func (q Query) FoundWithoutArguments(c *calls.Call) bool {
	if len(q.Arguments) > 0 {
		return false
	}
	return fitAll(c, match(q.Text))
}

// fitAll reports whether a call has all of some terms, by what is known of it beside its arguments.
func fitAll(c *calls.Call, terms []term) bool {
	var w words
	w.document(c, nil)
	known := strings.Fields(string(w.text))
	for _, t := range terms {
		if !slices.ContainsFunc(known, t.fits) {
			return false
		}
	}
	return true
}

// document appends everything that a call can be found by. Its arguments may be nil.
func (w *words) document(c *calls.Call, arguments []byte) {
	eachFacet(c, w.facet)
	w.whole(c.ID, c.Intent.IdempotencyKey, c.Intent.Identity.Session)
	w.add(c.Domain, c.Intent.Tool, c.Intent.Identity.Principal, c.Intent.Client)
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
	w.arguments(arguments)
}
