package schema_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// source is package audit as its files say it.
type source struct {
	structs map[string]*structType
	enums   map[string][]string // the constants of a named string type, in order
	events  []eventType         // in order
	codes   []string            // of outcomes
}

// structType is one struct with the comments on it.
type structType struct {
	doc    string
	fields []field
}

type field struct {
	name     string // in JSON
	doc      string
	typ      ast.Expr
	optional bool
}

// eventType is a constant of type Type, with the struct that its comment names.
type eventType struct{ name, data, doc string }

func parseAudit(t *testing.T) *source {
	t.Helper()
	paths, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	s := &source{structs: map[string]*structType{}, enums: map[string][]string{}}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(os.DirFS(".."), filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if d, ok := d.(*ast.GenDecl); ok {
				s.declaration(d)
			}
		}
	}
	return s
}

func (s *source) declaration(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if st, ok := spec.Type.(*ast.StructType); ok {
				s.structs[spec.Name.Name] = newStruct(plainText(d.Doc.Text()), st)
			}
		case *ast.ValueSpec:
			s.constant(spec)
		}
	}
}

func (s *source) constant(spec *ast.ValueSpec) {
	if len(spec.Values) != 1 {
		return
	}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return
	}
	name, ok := spec.Type.(*ast.Ident)
	switch {
	case !ok && strings.HasPrefix(spec.Names[0].Name, "Code"):
		s.codes = append(s.codes, value)
		return
	case !ok:
		return
	case name.Name != "Type":
		s.enums[name.Name] = append(s.enums[name.Name], value)
		return
	}
	_, comment, _ := strings.Cut(spec.Comment.List[0].Text, "data: ")
	data, doc, _ := strings.Cut(strings.TrimSpace(comment), ";")
	s.events = append(s.events, eventType{name: value, data: data, doc: strings.TrimSpace(doc)})
}

func newStruct(doc string, st *ast.StructType) *structType {
	s := &structType{doc: doc}
	for _, f := range st.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		tag, err := strconv.Unquote(f.Tag.Value)
		if err != nil {
			continue
		}
		name, options, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		doc := plainText(f.Doc.Text() + f.Comment.Text())
		s.fields = append(s.fields, field{name: name, doc: doc, typ: f.Type, optional: strings.Contains(options, "omit")})
	}
	return s
}

// plainText is a comment on one line, without the brackets of its links.
func plainText(doc string) string {
	return strings.NewReplacer("[", "", "]", "").Replace(strings.Join(strings.Fields(doc), " "))
}
