package config

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// DryRun is a call that changes nothing, and tells what a call of a tool would change. The
// operator answers for that: no tool is run dry because it says of itself that it can be.
type DryRun struct {
	// Tool is another tool of the upstream, by its own name, that says that it only reads; left
	// out, it is the same tool.
	Tool string `yaml:"tool"`
	// Arguments take the place of the call's own; the tool has to have them in its input schema.
	Arguments map[string]Scalar `yaml:"arguments"`
	// Keep names the arguments of the call that Tool gets; left out, it gets all of them.
	Keep []string `yaml:"keep"`
	// Against is the argument that what Tool answers is compared with: as it is now, as it
	// would be.
	Against string `yaml:"against"`
}

// Scalar is a text, a whole number or true or false.
type Scalar struct{ value any }

// JSON is the scalar as JSON.
func (s Scalar) JSON() json.RawMessage {
	b, _ := json.Marshal(s.value) // none of the three can fail
	return b
}

// MarshalYAML writes what was read.
func (s Scalar) MarshalYAML() (any, error) { return s.value, nil }

// UnmarshalText takes a text.
func (s *Scalar) UnmarshalText(text []byte) error {
	s.value = string(text)
	return nil
}

// scalarOf reads a scalar that stands in a file; false if there is something else.
func scalarOf(node ast.Node) (Scalar, bool) {
	switch n := node.(type) {
	case *ast.BoolNode:
		return Scalar{n.Value}, true
	case *ast.IntegerNode:
		number, err := strconv.ParseInt(n.Token.Value, 10, 64)
		return Scalar{number}, err == nil
	default:
		text, ok := stringOf(node)
		return Scalar{text}, ok
	}
}

func (v *validation) dryRuns(key string, u *Upstream) {
	for _, tool := range sorted(u.DryRuns) {
		d, at := u.DryRuns[tool], child(key, tool)
		switch {
		case (d.Tool == "" || d.Tool == tool) && len(d.Arguments) == 0:
			v.fail(at, "would be the call itself; write the arguments that keep it from changing anything, or a tool that only reads")
		case d.Tool == "" && d.Against != "":
			v.fail(child(at, "against"), "means something only beside tool; remove it")
		}
		if slices.Contains(d.Keep, "") {
			v.fail(child(at, "keep"), "has an empty name")
		}
	}
}
