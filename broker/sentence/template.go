package sentence

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a template.
const (
	maxTemplate = 500 // bytes
	maxBlanks   = 12
)

// Template is a sentence with blanks for arguments. The zero Template is that of a
// tool for which nobody wrote one.
type Template struct {
	pieces  []piece
	version string
}

// piece is text, or a blank to be filled with an argument.
type piece struct {
	text  string
	field jsontext.Pointer // empty for text
}

// Parse reads a template.
func Parse(text string) (Template, error) {
	if strings.TrimSpace(text) == "" || len(text) > maxTemplate {
		return Template{}, fmt.Errorf("a sentence has 1 to %d bytes", maxTemplate)
	}
	sum := sha256.Sum256([]byte(text))
	t := Template{version: hex.EncodeToString(sum[:8])}
	blanks := 0
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			t.pieces = say(t.pieces, rest)
			break
		}
		t.pieces = say(t.pieces, rest[:i])
		rest = rest[i:]
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			t.pieces = say(t.pieces, rest[:1])
			rest = rest[2:]
			continue
		case rest[0] == '}':
			return Template{}, errors.New("a } without its {; write }} for the brace itself")
		}
		name, after, closed := strings.Cut(rest[1:], "}")
		field, err := pointer(name)
		switch {
		case !closed:
			return Template{}, errors.New("a { without its }; write {{ for the brace itself")
		case err != nil:
			return Template{}, err
		case blanks == maxBlanks:
			return Template{}, fmt.Errorf("a sentence names at most %d arguments", maxBlanks)
		}
		blanks++
		t.pieces = append(t.pieces, piece{field: field})
		rest = after
	}
	return t, nil
}

// say appends text, to the text before it if there is some.
func say(pieces []piece, text string) []piece {
	if text == "" {
		return pieces
	}
	if n := len(pieces); n > 0 && pieces[n-1].field == "" {
		pieces[n-1].text += text
		return pieces
	}
	return append(pieces, piece{text: text})
}

// pointer reads an argument's name, or a pointer.
func pointer(name string) (jsontext.Pointer, error) {
	p := jsontext.Pointer(name)
	if !strings.HasPrefix(name, "/") {
		p = jsontext.Pointer("").AppendToken(name)
	}
	if name == "" || strings.Contains(name, "{") || !p.IsValid() {
		return "", fmt.Errorf("{%s} names no argument", name)
	}
	return p, nil
}

// Version tells templates apart: it is the beginning of the SHA-256 of the text, or
// plain for a tool that has none.
func (t Template) Version() string {
	if t.version == "" {
		return "plain"
	}
	return t.version
}
