package sentence

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/grants"
)

const (
	maxShown = 120 // bytes of one argument in a sentence; all of it stands with the arguments
	maxPlain = 4   // arguments in the sentence of a tool without a template
)

// Part is a piece of a sentence: the operator's words, or an argument of the call.
type Part struct {
	Text  string `json:"text"`
	Field string `json:"field,omitempty"` // JSON pointer of the argument; empty for words
}

// Sentence is a call in words.
type Sentence struct {
	Parts    []Part
	Template string // version of the template
}

// String is the sentence as plain text. Arguments in it are not made harmless.
func (s Sentence) String() string {
	var b strings.Builder
	for _, p := range s.Parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// Written reports whether an operator wrote the words.
func (s Sentence) Written() bool { return s.Template != (Template{}).Version() }

// Shown is what goes on record of the sentence where a person decided on the call of this
// digest. The salt is that of the arguments in it, as they are on record.
func (s Sentence) Shown(callDigest string, salt []byte) audit.Shown {
	sum := hmac.New(sha256.New, salt)
	sum.Write(s.text("deed sentence v2", callDigest))
	return audit.Shown{Template: s.Template, Digest: hex.EncodeToString(sum.Sum(nil)), Form: audit.ShownSalted}
}

// Is reports whether the sentence is what a record says that a person was shown.
func (s Sentence) Is(shown audit.Shown, callDigest string, salt []byte) bool {
	switch shown.Form {
	case 0:
		sum := sha256.Sum256(s.text("deed sentence v1", callDigest))
		return shown == audit.Shown{Template: s.Template, Digest: hex.EncodeToString(sum[:])}
	case audit.ShownSalted:
		return len(salt) == audit.SaltBytes && shown == s.Shown(callDigest, salt)
	default:
		return false
	}
}

func (s Sentence) text(form, callDigest string) []byte {
	all, _ := json.Marshal([]any{form, s.Template, s.Parts, callDigest}) // strings always marshal
	return all
}

// Of puts a call of a tool into words. The arguments are a JSON object decoded with
// numbers as json.Number.
func (t Template) Of(tool string, arguments map[string]any) Sentence {
	if t.pieces == nil {
		return plain(tool, arguments)
	}
	s := Sentence{Template: t.Version()}
	for _, p := range t.pieces {
		if p.field == "" {
			s.Parts = append(s.Parts, Part{Text: p.text})
			continue
		}
		shown := "(none)"
		if v, ok := grants.At(arguments, p.field); ok {
			shown = words(v)
		}
		s.Parts = append(s.Parts, Part{Text: shown, Field: string(p.field)})
	}
	return s
}

// plain is the sentence of a tool without a template: the first of its simple arguments by name.
func plain(tool string, arguments map[string]any) Sentence {
	s := Sentence{Template: Template{}.Version(), Parts: []Part{{Text: "Call " + tool}}}
	names := make([]string, 0, len(arguments))
	for name, v := range arguments {
		switch v.(type) {
		case map[string]any, []any:
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names[:min(len(names), maxPlain)] {
		between := ", "
		if i == 0 {
			between = " with "
		}
		field := string(jsontext.Pointer("").AppendToken(name))
		s.Parts = append(s.Parts, Part{Text: between + clip(name) + " "}, Part{Text: words(arguments[name]), Field: field})
	}
	if more := len(arguments) - min(len(names), maxPlain); more > 0 {
		s.Parts = append(s.Parts, Part{Text: " and " + strconv.Itoa(more) + " more"})
	}
	return s
}

// words are a value in a sentence.
func words(v any) string {
	switch v := v.(type) {
	case string:
		return clip(v)
	case json.Number:
		return clip(v.String())
	case []any:
		if len(v) == 1 {
			return "1 item"
		}
		return strconv.Itoa(len(v)) + " items"
	default: // an object, a boolean, null
		b, err := json.Marshal(v)
		if err != nil {
			return "(unreadable)"
		}
		return clip(string(b))
	}
}

func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := maxShown
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
