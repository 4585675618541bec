package tools

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// maxProblems is how many problems a [ValidationError] lists.
const maxProblems = 8

// Problem is one place where arguments do not fit a tool's input schema.
type Problem struct {
	Pointer string // RFC 6901; empty for the arguments as a whole
	Want    string // what the schema asks for there, never what was found
}

// ValidationError says where arguments do not fit a tool's input schema, at
// most eight places. It holds no values, so that it can be recorded.
type ValidationError struct {
	Problems []Problem
	More     int // problems beyond those listed
}

// Error lists the problems in words that an agent can act on.
func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString("arguments do not fit the tool's input schema: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		if p.Pointer != "" {
			b.WriteString(p.Pointer + ": ")
		}
		b.WriteString(p.Want)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "; and %d more", e.More)
	}
	return b.String()
}

// validationError turns the validator's tree into a list of its leaves.
func validationError(err error) error {
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return &ValidationError{Problems: []Problem{{Want: "must fit the schema"}}}
	}
	var problems []Problem
	collect(invalid, &problems)
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return strings.Compare(a.Pointer+"\x00"+a.Want, b.Pointer+"\x00"+b.Want)
	})
	problems = slices.Compact(problems)
	listed := min(len(problems), maxProblems)
	return &ValidationError{Problems: problems[:listed], More: len(problems) - listed}
}

func collect(e *jsonschema.ValidationError, problems *[]Problem) {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, cause := range e.Causes {
			collect(cause, problems)
		}
		return
	}
	at := pointerOf(e.InstanceLocation)
	if members := namedMembers(e.ErrorKind); members != nil {
		for _, m := range members {
			*problems = append(*problems, Problem{pointerOf(append(slices.Clone(e.InstanceLocation), m.name)), m.want})
		}
		return
	}
	*problems = append(*problems, Problem{at, wanted(e.ErrorKind)})
}

type member struct{ name, want string }

// namedMembers are the problems of a value that are better told at its members.
func namedMembers(k jsonschema.ErrorKind) []member {
	var members []member
	switch k := k.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			members = append(members, member{name, "is required"})
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			members = append(members, member{name, "is required when " + printable(k.Prop) + " is given"})
		}
	case *kind.Dependency:
		for _, name := range k.Missing {
			members = append(members, member{name, "is required when " + printable(k.Prop) + " is given"})
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			members = append(members, member{name, "is not an argument of this tool"})
		}
	}
	return members
}

// wanted says what a keyword asks for, from the schema alone.
func wanted(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ")
	case *kind.Enum:
		return "must be one of " + list(k.Want)
	case *kind.Const:
		return "must be " + list([]any{k.Want})
	case *kind.Format:
		return "must be in the format " + printable(k.Want)
	case *kind.Pattern:
		return "must match the pattern " + printable(k.Want)
	case *kind.AnyOf:
		return "must fit at least one of the alternatives (anyOf) in the schema"
	case *kind.OneOf:
		return "must fit exactly one of the alternatives (oneOf) in the schema"
	case *kind.Not:
		return "must not fit what the schema excludes (not)"
	case *kind.FalseSchema:
		return "is not allowed here"
	case *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return "must contain the right number of matching items (contains)"
	case *kind.UniqueItems:
		return "must not repeat an item"
	case *kind.PropertyNames:
		return "has a member whose name is not allowed"
	case *kind.AdditionalItems:
		return "has too many items"
	default:
		return wantedSize(k)
	}
}

func wantedSize(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d members", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members", k.Want)
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	default:
		return "must fit the schema (" + cut(strings.Join(k.KeywordPath(), "/"), 64) + ")"
	}
}

// list is values of a schema as JSON, the first few of them.
func list(values []any) string {
	const most = 10
	var shown []string
	for _, v := range values[:min(len(values), most)] {
		if text, ok := v.(string); ok {
			shown = append(shown, printable(text))
			continue
		}
		shown = append(shown, cut(fmt.Sprint(v), 64))
	}
	if len(values) > most {
		shown = append(shown, "...")
	}
	return strings.Join(shown, ", ")
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return cut(r.Num().String(), 64)
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func pointerOf(path []string) string {
	var p jsontext.Pointer
	for _, token := range path {
		p = p.AppendToken(token)
	}
	return cut(string(p), maxPointer)
}
