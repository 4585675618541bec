package tools

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/unicode/norm"
)

// instruction is a way in which descriptions of tools have tried to instruct models.
type instruction struct {
	says string
	text *regexp.Regexp // of text in lower case, with single spaces
}

// instructions find what a description of a tool has no reason to say: it tells what the
// tool does, not what the model is to do besides. They are rules for people to look at,
// not a proof that what passes is harmless (OWASP LLM01, "prompt injection").
var instructions = []instruction{ //nolint:gochecknoglobals // a constant
	{"tells to disregard other instructions", regexp.MustCompile(`\b(ignore|disregard|forget|override|bypass)\b.{0,40}\b(previous|prior|above|earlier|preceding|all|other|any|system|your)\b.{0,40}\b(instructions?|prompts?|rules?|messages?|guidelines?|polic(y|ies))\b`)},
	{"tells to hide something from people", regexp.MustCompile(`\b(do not|don't|never|without)\b.{0,20}\b(tell|telling|inform|informing|mention|mentioning|reveal|revealing|show|showing|notify|notifying|alert|alerting)\b.{0,40}\b(user|users|human|humans|person|people|anyone|anybody)\b`)},
	{"has marks of a prompt", regexp.MustCompile(`</?\s*(system|important|instructions?|secret|hidden|assistant|admin)\s*>|\[/?inst\]|<\|[a-z_]{2,20}\|>|\b(system|developer) prompt\b`)},
	{"tells to do something before other tools are used", regexp.MustCompile(`\bbefore\b.{0,20}\b(using|calling|running|invoking)\b.{0,20}\b(this|any|other|another|the)\b.{0,20}\btools?\b.{0,60}\b(read|send|call|run|pass|include|fetch|open)\b`)},
	{"asks for secrets", regexp.MustCompile(`(~/\.ssh|\bid_rsa\b|/etc/passwd|/etc/shadow|~/\.aws|\bmcp\.json\b|\bclaude_desktop_config\b)`)},
}

// named is a word that can be the name of a tool: upstream.tool, or as it is on the wire.
var named = regexp.MustCompile(`[a-z0-9-]+(?:\.|__)[A-Za-z0-9_./-]*[A-Za-z0-9]`)

// Suspicions tell what in a definition is text that may instruct a model, or that people
// cannot see: each a clause for a sentence about the definition, none if there is nothing.
// Others are the names of all tools, qualified and on the wire, with their upstreams: a
// description that names one of another upstream may want to change how that is used.
func Suspicions(t *Tool, others map[string]string) []string {
	var found []string
	add := func(clause string) {
		if !slices.Contains(found, clause) {
			found = append(found, clause)
		}
	}
	for text := range texts(t.Raw) {
		if r := hidden(text); r != 0 {
			add(fmt.Sprintf("has characters that nobody sees (%U)", r))
		}
		plain := legible(text)
		for _, i := range instructions {
			if i.text.MatchString(plain) {
				add(i.says)
			}
		}
		for _, name := range named.FindAllString(text, -1) {
			if other := others[name]; other != "" && other != t.Upstream {
				add("speaks of a tool of another upstream, " + printable(name))
			}
		}
	}
	return found
}

// texts yields every string of a JSON text, names of members included.
func texts(raw []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		d := jsontext.NewDecoder(bytes.NewReader(raw))
		for {
			t, err := d.ReadToken()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(string(raw)) // whatever it is, it is looked at
				}
				return
			}
			if t.Kind() == '"' && !yield(t.String()) {
				return
			}
		}
	}
}

// hidden is the first character of a text that has no shape of its own and orders or hides
// others; 0 if there is none. What emoji are made of is let through beside them.
func hidden(text string) rune {
	before := rune(0)
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
		case r == emojiStyle && before != 0 && before != emojiStyle && before != joiner:
		case r == joiner && (before == emojiStyle || unicode.In(before, unicode.So, unicode.Sk)):
		case unicode.In(r, unicode.Cf, unicode.Cc, unicode.Co, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			return r
		}
		before = r
	}
	return 0
}

const (
	joiner     = '\u200d'
	emojiStyle = '\ufe0f'
)

// legible is a text as a model understands it: compatible forms unified, nothing hidden,
// lower case, single spaces.
func legible(text string) string {
	text = strings.Map(func(r rune) rune {
		if hidden(string(r)) != 0 {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(text))
	return strings.Join(strings.Fields(text), " ")
}

// Names are all names by which tools can be spoken of, with their upstreams.
func Names(ts []*Tool) map[string]string {
	names := make(map[string]string, 2*len(ts))
	for _, t := range ts {
		for _, name := range []string{t.Name(), WireName(t.Upstream, t.Definition.Name)} {
			names[name] = cmp.Or(names[name], t.Upstream)
		}
	}
	return names
}
