package policy

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// ArgumentError is the error of an argument that a policy reads and that Cedar
// cannot hold exactly. The call must be refused. Arguments that no policy of the
// tool reads are never looked at.
type ArgumentError struct {
	Pointer string // where, as a JSON Pointer (RFC 6901); never a value
	Want    string // what policies read it as
}

// Error is a sentence for the agent.
func (e *ArgumentError) Error() string {
	return fmt.Sprintf("argument %s is read by a policy as %s, and does not fit", e.Pointer, e.Want)
}

// What an [ArgumentError] wants.
const (
	wantString  = "a string"
	wantLong    = "an integer of 64 bits"
	wantBool    = "a boolean"
	wantDecimal = "a decimal of at most 4 fractional digits, within ±922337203685477.5807"
	wantRecord  = "an object"
	wantSet     = "an array"
)

// arguments converts what is wanted of the arguments of a call.
func (s *shape) arguments(input any, wanted *reads) (cedar.Value, error) {
	if input == nil {
		input = map[string]any(nil)
	}
	value, wrong := s.value(input, wanted)
	if wrong != nil {
		return nil, wrong.err()
	}
	return value, nil
}

// misfit is an ArgumentError whose path is put together on the way up.
type misfit struct {
	steps []string // innermost first
	want  string
}

func (m *misfit) in(step string) *misfit {
	m.steps = append(m.steps, step)
	return m
}

func (m *misfit) err() error {
	var b strings.Builder
	for _, step := range slices.Backward(m.steps) {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return &ArgumentError{Pointer: b.String(), Want: m.want}
}

func (s *shape) value(v any, wanted *reads) (cedar.Value, *misfit) {
	switch s.kind {
	case stringKind:
		if text, ok := v.(string); ok {
			return cedar.String(text), nil
		}
		return nil, &misfit{want: wantString}
	case longKind:
		if n, ok := scaled(v, 0); ok {
			return cedar.Long(n), nil
		}
		return nil, &misfit{want: wantLong}
	case decimalKind:
		if n, ok := scaled(v, 4); ok {
			if d, err := cedar.NewDecimal(n, -4); err == nil {
				return d, nil
			}
		}
		return nil, &misfit{want: wantDecimal}
	case boolKind:
		if b, ok := v.(bool); ok {
			return cedar.Boolean(b), nil
		}
		return nil, &misfit{want: wantBool}
	case setKind:
		return s.setValue(v)
	case recordKind, noKind:
	}
	return s.recordValue(v, wanted)
}

func (s *shape) setValue(v any) (cedar.Value, *misfit) {
	list, ok := v.([]any)
	if !ok {
		return nil, &misfit{want: wantSet}
	}
	elements := make([]cedar.Value, len(list))
	for i, e := range list {
		value, wrong := s.element.value(e, &reads{all: true})
		if wrong != nil {
			return nil, wrong.in(strconv.Itoa(i))
		}
		elements[i] = value
	}
	return cedar.NewSet(elements...), nil
}

func (s *shape) recordValue(v any, wanted *reads) (cedar.Value, *misfit) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, &misfit{want: wantRecord}
	}
	var first *misfit // by name, so that the same call always gets the same error
	m := make(cedar.RecordMap, min(len(s.fields), len(object)))
	for name, member := range object {
		f, known := s.fields[name]
		inner := wanted.of(name)
		if !known || inner == nil {
			continue
		}
		value, wrong := f.value(member, inner)
		if wrong != nil && (first == nil || name < first.steps[len(first.steps)-1]) {
			first = wrong.in(name)
		}
		m[cedar.String(name)] = value
	}
	if first != nil {
		return nil, first
	}
	return cedar.NewRecord(m), nil
}

// scaled is the JSON number v times ten to the power of digits, if that is an
// integer of 64 bits. It looks at the digits alone, so that no exponent is too
// large for it.
func scaled(v any, digits int) (int64, bool) {
	number, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	mantissa, exponent, ok := parts(string(number))
	if !ok {
		return 0, false
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	if all == "" {
		return 0, true
	}
	significant := strings.TrimRight(all, "0")
	zeros := exponent + digits - len(fraction) + len(all) - len(significant)
	const most = 19 // digits of an int64
	if zeros < 0 || len(significant) > most || zeros > most-len(significant) {
		return 0, false
	}
	sign := ""
	if negative {
		sign = "-"
	}
	n, err := strconv.ParseInt(sign+significant+strings.Repeat("0", zeros), 10, 64)
	return n, err == nil
}

// parts splits a JSON number. Exponents beyond any use are as good as the largest.
func parts(number string) (mantissa string, exponent int, ok bool) {
	at := strings.IndexAny(number, "eE")
	if at < 0 {
		return number, 0, number != ""
	}
	e, err := strconv.ParseInt(number[at+1:], 10, 32)
	if err != nil {
		e = math.MaxInt32
	}
	return number[:at], int(e), true
}
