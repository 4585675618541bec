package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder fills Go values from a YAML tree. It is stricter than the YAML library's
// own (which turns numbers into strings, reports one unknown key of several, and
// quotes the lines around an error), and goes on after a problem to find the rest.
type decoder struct {
	src      *source
	problems Problems
}

// decode reads the one document of src into c, over the defaults that are there.
func decode(src *source, text []byte, c *Config) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Problems{syntaxProblem(err)}
	}
	d := &decoder{src: src}
	for i, doc := range file.Docs {
		switch {
		case i > 0:
			p := problem("", "a second document starts here; deed.yaml is a single one")
			p.Line, p.Column = documentStart(doc)
			d.problems = append(d.problems, p)
		case doc.Body == nil || doc.Body.Type() == ast.CommentType:
			d.problems = append(d.problems, problem("", "is empty; the least that it needs is issuers and policies"))
		default:
			d.value("", doc.Body, reflect.ValueOf(c).Elem())
		}
	}
	return d.problems.err()
}

func syntaxProblem(err error) *Problem {
	at, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return problem("", "is not YAML")
	}
	p := problem("", "is not YAML: %s", at.GetMessage())
	if token := at.GetToken(); token != nil && token.Position != nil {
		p.Line, p.Column = token.Position.Line, token.Position.Column
	}
	return p
}

// fail notes a problem with the key, at the place of node if the key has none.
func (d *decoder) fail(key string, node ast.Node, format string, args ...any) {
	p := problem(key, format, args...)
	if at, known := d.src.places[key]; known {
		p.Line, p.Column = at.line, at.column
	} else {
		at := position(node)
		p.Line, p.Column = at.line, at.column
	}
	d.problems = append(d.problems, p)
}

func documentStart(doc *ast.DocumentNode) (line, column int) {
	if doc.Start != nil && doc.Start.Position != nil {
		return doc.Start.Position.Line, doc.Start.Position.Column
	}
	at := position(doc.Body)
	return at.line, at.column
}

// position of a mapping is its first key's; the library has it at the colon.
func position(node ast.Node) place {
	if node == nil || reflect.ValueOf(node).IsNil() {
		return place{}
	}
	if mapping, ok := node.(*ast.MappingNode); ok && len(mapping.Values) > 0 {
		node = mapping.Values[0].Key
	}
	if token := node.GetToken(); token != nil && token.Position != nil {
		return place{token.Position.Line, token.Position.Column}
	}
	return place{}
}

func (d *decoder) value(key string, node ast.Node, into reflect.Value) {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](into.Addr()); ok {
		d.text(key, node, text)
		return
	}
	if defaults, ok := reflect.TypeAssert[interface{ setDefaults() }](into.Addr()); ok {
		defaults.setDefaults()
	}
	switch into.Kind() { // Config has no other kinds; the schema test would tell
	case reflect.Struct:
		d.structure(key, node, into)
	case reflect.Map:
		d.mapping(key, node, into)
	case reflect.Slice:
		d.sequence(key, node, into)
	case reflect.Int:
		d.integer(key, node, into)
	case reflect.Bool:
		d.boolean(key, node, into)
	default:
		if text, ok := stringOf(node); ok {
			into.SetString(text)
			return
		}
		d.fail(key, node, "must be a string, not %s", kindOf(node))
	}
}

func (d *decoder) text(key string, node ast.Node, into encoding.TextUnmarshaler) {
	if scalar, ok := into.(*Scalar); ok {
		var is bool
		if *scalar, is = scalarOf(node); !is {
			d.fail(key, node, "must be a string, a whole number, true or false, not %s", kindOf(node))
		}
		return
	}
	text, ok := stringOf(node)
	if number, isInteger := node.(*ast.IntegerNode); isInteger && number.Token != nil {
		text, ok = number.Token.Value, true
	}
	if !ok {
		d.fail(key, node, "must be a string, not %s", kindOf(node))
		return
	}
	err := into.UnmarshalText([]byte(text))
	if err == nil {
		return
	}
	switch into.(type) {
	case *Secret, *Value:
		d.fail(key, node, "%v", err)
	default:
		d.fail(key, node, "%q %v", text, err)
	}
}

func (d *decoder) integer(key string, node ast.Node, into reflect.Value) {
	if number, ok := node.(*ast.IntegerNode); ok {
		n, err := strconv.ParseInt(fmt.Sprint(number.Value), 10, 32)
		if err == nil {
			into.SetInt(n)
			return
		}
		d.fail(key, node, "is too large a number")
		return
	}
	d.fail(key, node, "must be a whole number, not %s", kindOf(node))
}

func (d *decoder) boolean(key string, node ast.Node, into reflect.Value) {
	if b, ok := node.(*ast.BoolNode); ok {
		into.SetBool(b.Value)
		return
	}
	d.fail(key, node, "must be true or false, not %s", kindOf(node))
}

func (d *decoder) structure(key string, node ast.Node, into reflect.Value) {
	fields := fieldsOf(into.Type())
	d.entries(key, node, func(name string, value ast.Node) {
		path := child(key, name)
		i, known := fields[name]
		if !known {
			d.fail(path, value, "is not a known key; %s", suggest(name, fields))
			return
		}
		d.value(path, value, into.Field(i))
	})
}

func (d *decoder) mapping(key string, node ast.Node, into reflect.Value) {
	into.Set(reflect.MakeMap(into.Type()))
	d.entries(key, node, func(name string, value ast.Node) {
		element := reflect.New(into.Type().Elem()).Elem()
		d.value(child(key, name), value, element)
		into.SetMapIndex(reflect.ValueOf(name), element)
	})
}

// entries visits the keys of a mapping, each of which it sees once.
func (d *decoder) entries(key string, node ast.Node, visit func(name string, value ast.Node)) {
	mapping, ok := node.(ast.MapNode)
	if _, isAlias := node.(*ast.AliasNode); !ok || isAlias {
		d.fail(key, node, "must be a mapping of keys to values, not %s", kindOf(node))
		return
	}
	seen := map[string]bool{}
	for iter := mapping.MapRange(); iter.Next(); {
		name, isString := keyOf(iter.Key())
		path := child(key, name)
		switch {
		case !isString:
			d.fail(key, iter.Key(), "has a key that is %s; write a plain one or quote it", kindOf(iter.Key()))
		case seen[name]:
			d.fail(path, iter.Key(), "is given twice")
		default:
			d.src.places[path] = position(iter.Key())
			visit(name, iter.Value())
		}
		seen[name] = true
	}
}

func (d *decoder) sequence(key string, node ast.Node, into reflect.Value) {
	list, ok := node.(*ast.SequenceNode)
	if !ok {
		d.fail(key, node, "must be a list, not %s; write it in brackets", kindOf(node))
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(list.Values), len(list.Values)))
	for i, value := range list.Values {
		path := item(key, i)
		d.src.places[path] = position(value)
		d.value(path, value, into.Index(i))
	}
}

func stringOf(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	default:
		return "", false
	}
}

// keyOf also takes a number for a key, since an agent's id may look like one.
func keyOf(node ast.Node) (string, bool) {
	if n, ok := node.(*ast.IntegerNode); ok && n.Token != nil {
		return n.Token.Value, true
	}
	return stringOf(node)
}

func kindOf(node ast.Node) string {
	if node == nil {
		return "nothing"
	}
	switch node.Type() { // the rest has one name
	case ast.NullType:
		return "empty (leave the key out, or give it a value)"
	case ast.StringType, ast.LiteralType:
		return "a string"
	case ast.IntegerType, ast.FloatType, ast.InfinityType, ast.NanType:
		return "a number (quote it to make it a string)"
	case ast.BoolType:
		return "a boolean (quote it to make it a string)"
	case ast.SequenceType:
		return "a list"
	case ast.MappingType, ast.MappingValueType:
		return "a mapping"
	case ast.AnchorType, ast.AliasType, ast.MergeKeyType:
		return "an anchor or alias (write the value out)"
	case ast.TagType:
		return "a tagged value (leave the tag out)"
	default:
		return "something else"
	}
}

func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		fields[t.Field(i).Tag.Get("yaml")] = i
	}
	return fields
}

// suggest names the key that was probably meant, else all that are known.
func suggest(name string, fields map[string]int) string {
	var names []string
	best, distance := "", 3
	for field := range fields {
		names = append(names, field)
		if d := editDistance(name, field); d < distance || d == distance && field < best {
			best, distance = field, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	slices.Sort(names)
	return "known are " + strings.Join(names, ", ")
}

// editDistance is Levenshtein's, enough for keys; a long string is simply far.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
