package grants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
)

const (
	maxField  = 256      // bytes of a pointer
	maxValue  = 16 << 10 // bytes of a value to equal
	maxNumber = 400      // bytes of a number that is compared
)

func validate(c audit.Condition) error {
	set := 0
	for _, is := range []bool{c.Equals != nil, c.AtMost != "", c.AtLeast != ""} {
		if is {
			set++
		}
	}
	pointer := jsontext.Pointer(c.Field)
	switch {
	case c.Field == "" || len(c.Field) > maxField || !pointer.IsValid():
		return fmt.Errorf("a condition names its argument by a JSON pointer such as /amount, of at most %d bytes", maxField)
	case set != 1:
		return fmt.Errorf("the condition on %s needs exactly one of equals, at_most and at_least", c.Field)
	case len(c.Equals) > maxValue:
		return fmt.Errorf("the value that %s is to equal is larger than %d bytes", c.Field, maxValue)
	}
	if c.Equals != nil {
		if _, err := decode(c.Equals); err != nil {
			return fmt.Errorf("the value that %s is to equal is not JSON", c.Field)
		}
		return nil
	}
	if _, ok := rational(c.AtMost + c.AtLeast); !ok {
		return fmt.Errorf("the bound of %s is not a number", c.Field)
	}
	return nil
}

// holdAll reports whether arguments fulfil every condition. What cannot be read, is
// not there or cannot be compared fulfils none.
func holdAll(where []audit.Condition, arguments []byte) bool {
	if len(where) == 0 {
		return true
	}
	v, err := decode(arguments)
	if err != nil {
		return false
	}
	for _, c := range where {
		at, ok := At(v, jsontext.Pointer(c.Field))
		if !ok || !holds(c, at) {
			return false
		}
	}
	return true
}

func holds(c audit.Condition, v any) bool {
	if c.Equals != nil {
		want, err := decode(c.Equals)
		return err == nil && equal(v, want)
	}
	n, isNumber := v.(json.Number)
	if !isNumber {
		return false
	}
	have, ok := rational(n.String())
	if !ok {
		return false
	}
	if c.AtMost != "" {
		bound, ok := rational(c.AtMost)
		return ok && have.Cmp(bound) <= 0
	}
	bound, ok := rational(c.AtLeast)
	return ok && have.Cmp(bound) >= 0
}

// decode reads one JSON value, with numbers as they are written.
func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode: more than one value")
	}
	return v, nil
}

// At is the field of a JSON value that a pointer (RFC 6901) names, if it has it.
func At(v any, p jsontext.Pointer) (any, bool) {
	for token := range p.Tokens() {
		switch in := v.(type) {
		case map[string]any:
			member, ok := in[token]
			if !ok {
				return nil, false
			}
			v = member
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(in) || strconv.Itoa(i) != token {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// equal compares JSON values; numbers by what they are worth.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		n, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, okX := rational(a.String())
		y, okY := rational(n.String())
		return okX && okY && x.Cmp(y) == 0
	case []any:
		o, ok := b.([]any)
		if !ok || len(a) != len(o) {
			return false
		}
		for i := range a {
			if !equal(a[i], o[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		o, ok := b.(map[string]any)
		if !ok || len(a) != len(o) {
			return false
		}
		for name, v := range a {
			if w, there := o[name]; !there || !equal(v, w) {
				return false
			}
		}
		return true
	default: // string, bool, nil
		return a == b
	}
}

// rational is the exact value of a JSON number. Exponents beyond a double's are no
// numbers here: what they stand for would not fit anywhere.
func rational(s string) (*big.Rat, bool) {
	if len(s) > maxNumber || jsontext.Value(s).Kind() != '0' || !jsontext.Value(s).IsValid() || strings.TrimSpace(s) != s {
		return nil, false
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		if power, err := strconv.Atoi(s[i+1:]); err != nil || power > 400 || power < -400 {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}
