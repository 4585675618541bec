package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// DefaultMaxArguments is the most bytes of arguments that [ParseArguments] takes.
	DefaultMaxArguments = 1 << 20
	// MaxDepth is how deeply objects and arrays of arguments may be nested.
	MaxDepth = 64

	maxPointer = 256 // bytes of a JSON pointer in an error
)

// Arguments are a call's arguments, parsed strictly and once. They are shared
// by whoever looks at the call and MUST NOT be modified.
type Arguments struct {
	// Canonical is the JSON object with its members in RFC 8785 order, strings
	// in their RFC 8785 form, no white space, and numbers as they were written.
	// It is what is validated, decided on, recorded and sent.
	Canonical json.RawMessage
	// Value is Canonical decoded, with every number a [json.Number].
	Value map[string]any
}

// ArgumentError says why arguments cannot be taken, and where. It never holds a
// value, so that it can be recorded.
type ArgumentError struct {
	Pointer string // RFC 6901, bounded in length; empty for the whole
	Reason  string
}

// Error is the pointer and the reason, in words for an agent.
func (e *ArgumentError) Error() string {
	if e.Pointer == "" {
		return "arguments: " + e.Reason
	}
	return e.Pointer + ": " + e.Reason
}

// ParseArguments reads the arguments of a call of at most [DefaultMaxArguments]
// bytes. See [ParseArgumentsMax].
func ParseArguments(raw []byte) (Arguments, error) {
	return ParseArgumentsMax(raw, DefaultMaxArguments)
}

// ParseArgumentsMax reads a JSON object of at most size bytes; nothing at all and null
// are the empty object. It refuses, with an [*ArgumentError], whatever two
// readers could understand differently: invalid UTF-8, lone surrogates, a member
// named twice, integers beyond 64 bits, and numbers that a double does not hold
// exactly. Nesting beyond [MaxDepth] is refused as well.
func ParseArgumentsMax(raw []byte, size int) (Arguments, error) {
	if len(raw) > size {
		return Arguments{}, &ArgumentError{Reason: fmt.Sprintf("larger than %d bytes", size)}
	}
	trimmed := bytes.TrimSpace(raw)
	if len(trimmed) == 0 || string(trimmed) == "null" {
		return Arguments{Canonical: json.RawMessage("{}"), Value: map[string]any{}}, nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(trimmed))
	if d.PeekKind() != '{' {
		return Arguments{}, &ArgumentError{Reason: "must be a JSON object"}
	}
	value, err := readValue(d)
	if err != nil {
		return Arguments{}, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return Arguments{}, &ArgumentError{Reason: "more than one JSON value"}
	}
	canonical := jsontext.Value(bytes.Clone(trimmed))
	if err := canonical.Canonicalize(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false)); err != nil {
		return Arguments{}, syntaxError(err)
	}
	object, _ := value.(map[string]any) // the first token was '{'
	return Arguments{Canonical: json.RawMessage(canonical), Value: object}, nil
}

// readValue decodes the next value of d, checking depth and numbers.
func readValue(d *jsontext.Decoder) (any, error) {
	token, err := d.ReadToken()
	if err != nil {
		return nil, syntaxError(err)
	}
	switch token.Kind() {
	case '"':
		return token.String(), nil
	case '0':
		number := token.String()
		if reason := inexact(number); reason != "" {
			return nil, &ArgumentError{Pointer: pointer(d), Reason: reason}
		}
		return json.Number(number), nil
	case 't', 'f':
		return token.Bool(), nil
	case 'n':
		return nil, nil //nolint:nilnil // JSON's null
	case '{':
		return readObject(d)
	case '[':
		return readArray(d)
	case jsontext.KindInvalid, '}', ']':
		return nil, &ArgumentError{Pointer: pointer(d), Reason: "not valid JSON"}
	default:
		return nil, &ArgumentError{Pointer: pointer(d), Reason: "not valid JSON"}
	}
}

func readObject(d *jsontext.Decoder) (map[string]any, error) {
	if err := checkDepth(d); err != nil {
		return nil, err
	}
	object := map[string]any{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, syntaxError(err)
		}
		key := name.String() // the token is only valid until the next one
		if object[key], err = readValue(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return object, syntaxError(err)
}

func readArray(d *jsontext.Decoder) ([]any, error) {
	if err := checkDepth(d); err != nil {
		return nil, err
	}
	array := []any{}
	for d.PeekKind() != ']' {
		item, err := readValue(d)
		if err != nil {
			return nil, err
		}
		array = append(array, item)
	}
	_, err := d.ReadToken()
	return array, syntaxError(err)
}

func checkDepth(d *jsontext.Decoder) error {
	if d.StackDepth() <= MaxDepth {
		return nil
	}
	return &ArgumentError{Pointer: pointer(d), Reason: fmt.Sprintf("nested more than %d deep", MaxDepth)}
}

// syntaxError is err without any of the text that it was found in.
func syntaxError(err error) error {
	if err == nil {
		return nil
	}
	reason := "not valid JSON"
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		return &ArgumentError{Reason: reason}
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		reason = "named twice"
	}
	return &ArgumentError{Pointer: cut(string(syntactic.JSONPointer), maxPointer), Reason: reason}
}

func pointer(d *jsontext.Decoder) string { return cut(string(d.StackPointer()), maxPointer) }
