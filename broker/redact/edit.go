package redact

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/broker/secrets"
)

// reading takes what others wrote as they wrote it.
func reading() []jsontext.Options {
	return []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}
}

// edit is a text with some of its parts replaced; the rest stays byte for byte.
type edit struct {
	text   []byte
	out    []byte
	copied int // of text
}

func newEdit(text []byte) *edit { return &edit{text: text} }

func (e *edit) replace(from, to int, by string) {
	e.out = append(append(e.out, e.text[e.copied:from]...), by...)
	e.copied = to
}

func (e *edit) done() []byte {
	if e.copied == 0 {
		return e.text
	}
	return append(e.out, e.text[e.copied:]...)
}

// mark is what stands in place of a value.
func mark(by string) string { return string(quoted("[redacted: " + by + "]")) }

func quoted(text string) []byte {
	q, _ := jsontext.AppendQuote(nil, text) // what is not UTF-8 is replaced
	return q
}

// fields replaces the values that patterns name.
type fields struct {
	edit     *edit
	patterns []Pattern
	answer   bool // the text is a tool's answer
	counts   *tally

	in   *jsontext.Decoder
	path []string
}

func (f *fields) all() error {
	f.in = jsontext.NewDecoder(bytes.NewReader(f.edit.text), reading()...)
	return f.value()
}

func (f *fields) value() error {
	switch f.in.PeekKind() {
	case '{':
		return f.object()
	case '[':
		return f.array()
	case '"':
		return f.string()
	default:
		return f.in.SkipValue()
	}
}

func (f *fields) object() error {
	if _, err := f.in.ReadToken(); err != nil {
		return err
	}
	for f.in.PeekKind() != '}' {
		name, err := f.in.ReadToken()
		if err != nil {
			return err
		}
		if err := f.member(name.String()); err != nil {
			return err
		}
	}
	_, err := f.in.ReadToken()
	return err
}

func (f *fields) array() error {
	if _, err := f.in.ReadToken(); err != nil {
		return err
	}
	for i := 0; f.in.PeekKind() != ']'; i++ {
		if err := f.member(strconv.Itoa(i)); err != nil {
			return err
		}
	}
	_, err := f.in.ReadToken()
	return err
}

// member reads the value that a step leads to.
func (f *fields) member(step string) error {
	if f.answer && len(f.path) == 0 && step == "structuredContent" { // a root of its own
		return f.value()
	}
	f.path = append(f.path, step)
	defer func() { f.path = f.path[:len(f.path)-1] }()
	for _, p := range f.patterns {
		if !p.matches(f.path) {
			continue
		}
		v, err := f.in.ReadValue()
		if err != nil {
			return err
		}
		end := int(f.in.InputOffset())
		f.edit.replace(end-len(v), end, mark(p.text))
		f.counts.add(p.text)
		return nil
	}
	return f.value()
}

// string looks into a text of an answer that is JSON itself.
func (f *fields) string() error {
	v, err := f.in.ReadValue()
	if err != nil || !f.answer {
		return err
	}
	end := int(f.in.InputOffset())
	raw, err := jsontext.AppendUnquote(nil, v)
	if err != nil || !jsontext.Value(raw).IsValid(reading()...) {
		return nil //nolint:nilerr // text that is no JSON has no fields
	}
	if kind := jsontext.Value(raw).Kind(); kind != '{' && kind != '[' {
		return nil
	}
	inner := fields{edit: newEdit(raw), patterns: f.patterns, answer: true, counts: f.counts}
	if err := inner.all(); err != nil {
		return err
	}
	if inner.edit.copied > 0 {
		f.edit.replace(end-len(v), end, string(quoted(string(inner.edit.done()))))
	}
	return nil
}

// cut replaces the secrets in a JSON text. What it cannot take out of a text it replaces whole.
func cut(text []byte, found []secrets.Found, counts *tally) []byte {
	e := newEdit(text)
	in := jsontext.NewDecoder(bytes.NewReader(text), reading()...)
	for {
		token, err := in.ReadToken()
		if err != nil {
			break
		}
		if k := token.Kind(); k != '"' && k != '0' {
			continue
		}
		end := int(in.InputOffset())
		start := startOf(text, end, token)
		for len(found) > 0 && found[0].To <= start {
			found = found[1:]
		}
		if len(found) > 0 && found[0].From < end {
			e.replace(start, end, without(text[start:end], start, found, counts))
		}
	}
	return e.done()
}

// startOf is where a token begins that ends at end.
func startOf(text []byte, end int, token jsontext.Token) int {
	if token.Kind() != '"' {
		return end - len(token.String())
	}
	for at := end - 2; ; at-- { // the quote before which there is no odd number of backslashes
		if text[at] != '"' {
			continue
		}
		slashes := 0
		for at-1-slashes >= 0 && text[at-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return at
		}
	}
}

// without is a string, or number, whose parts that are found are replaced. It starts at start.
func without(raw []byte, start int, found []secrets.Found, counts *tally) string {
	e := newEdit(raw)
	rules := ""
	for _, f := range found {
		from, to := max(f.From-start, 1), min(f.To-start, len(raw)-1)
		if from >= to {
			break
		}
		e.replace(from, to, "[secret: "+f.Rule+"]")
		counts.add("secret " + f.Rule)
		rules = f.Rule
	}
	if out := e.done(); raw[0] == '"' && jsontext.Value(out).IsValid(reading()...) {
		return string(out)
	}
	return string(quoted("[secret: " + rules + "]"))
}
