package openapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

var errNested = errors.New("holds objects or lists where only plain values can be sent")

// known reports whether a style can be encoded in a place.
func known(place, style string) bool {
	switch place {
	case openapi3.ParameterInPath:
		return slices.Contains([]string{openapi3.SerializationSimple, openapi3.SerializationLabel, openapi3.SerializationMatrix}, style)
	case openapi3.ParameterInQuery:
		return slices.Contains([]string{openapi3.SerializationForm, openapi3.SerializationSpaceDelimited, openapi3.SerializationPipeDelimited, openapi3.SerializationDeepObject}, style)
	case openapi3.ParameterInHeader:
		return style == openapi3.SerializationSimple
	default:
		return style == openapi3.SerializationForm
	}
}

// pair is a name and a value, not encoded yet.
type pair struct{ name, value string }

// escape leaves only the unreserved characters of RFC 3986.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// raw encodes nothing, for headers.
func raw(text string) string { return text }

// reserved leaves those with a meaning in URLs that cannot end a value.
func reserved(text string) string {
	text = escape(text)
	for _, c := range ":/?@!$'()*,;" {
		text = strings.ReplaceAll(text, escape(string(c)), string(c))
	}
	return text
}

// text is a plain value as text.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	case nil:
		return "", nil
	default:
		return "", errNested
	}
}

// parts is a value as text: one, one for each item of a list, or names and values of an object.
func parts(v any) (one string, list []string, members []pair, err error) {
	switch v := v.(type) {
	case []any:
		list = []string{}
		for _, item := range v {
			t, err := text(item)
			if err != nil {
				return "", nil, nil, err
			}
			list = append(list, t)
		}
		return "", list, nil, nil
	case map[string]any:
		members = []pair{}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			t, err := text(v[name])
			if err != nil {
				return "", nil, nil, err
			}
			members = append(members, pair{name, t})
		}
		return "", nil, members, nil
	default:
		one, err = text(v)
		return one, nil, nil, err
	}
}

// joined writes a value as one text: styles simple, label and matrix, and those of a query
// that do not repeat the name.
func (p parameter) joined(v any, escape func(string) string) (string, error) {
	one, list, members, err := parts(v)
	if err != nil {
		return "", err
	}
	comma, equals := p.separator(), ","
	if p.Explode {
		equals = "="
	}
	for _, m := range members {
		list = append(list, escape(m.name)+equals+escape(m.value))
	}
	switch {
	case list == nil:
		one = escape(one)
	case members == nil:
		for i := range list {
			list[i] = escape(list[i])
		}
		fallthrough
	default:
		one = strings.Join(list, comma)
	}
	switch p.Style {
	case openapi3.SerializationLabel:
		return "." + one, nil
	case openapi3.SerializationMatrix:
		if p.Explode && list != nil {
			return p.exploded(list, members != nil), nil
		}
		return ";" + escape(p.Name) + "=" + one, nil
	default:
		return one, nil
	}
}

func (p parameter) separator() string {
	switch {
	case p.Style == openapi3.SerializationSpaceDelimited:
		return "%20"
	case p.Style == openapi3.SerializationPipeDelimited:
		return "%7C"
	case p.Style == openapi3.SerializationLabel && p.Explode:
		return "."
	default:
		return ","
	}
}

// exploded is ;name=a;name=b of a list and ;a=1;b=2 of an object.
func (p parameter) exploded(list []string, object bool) string {
	var all strings.Builder
	for _, item := range list {
		all.WriteString(";")
		if !object {
			all.WriteString(escape(p.Name) + "=")
		}
		all.WriteString(item)
	}
	return all.String()
}

// query writes a value as parts of a query, or cookies: name=value, encoded.
func (p parameter) query(v any) ([]string, error) {
	enc := escape
	if p.Reserved {
		enc = reserved
	}
	if p.Style == openapi3.SerializationDeepObject {
		return deep(escape(p.Name), v, enc, 0)
	}
	_, list, members, err := parts(v)
	if err != nil {
		return nil, err
	}
	if !p.Explode || list == nil && members == nil {
		value, err := p.joined(v, enc)
		return []string{escape(p.Name) + "=" + value}, err
	}
	var all []string
	for _, item := range list {
		all = append(all, escape(p.Name)+"="+enc(item))
	}
	for _, m := range members {
		all = append(all, escape(m.name)+"="+enc(m.value))
	}
	return all, nil
}

const maxDeep = 8

// deep is name[a][b]=value.
func deep(name string, v any, enc func(string) string, depth int) ([]string, error) {
	object, ok := v.(map[string]any)
	switch {
	case depth > maxDeep:
		return nil, errNested
	case !ok && depth == 0:
		return nil, errors.New("must be an object")
	case !ok:
		return deepValue(name, v, enc)
	}
	var all []string
	for _, member := range slices.Sorted(maps.Keys(object)) {
		inner, err := deep(name+"%5B"+escape(member)+"%5D", object[member], enc, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, inner...)
	}
	return all, nil
}

func deepValue(name string, v any, enc func(string) string) ([]string, error) {
	one, list, _, err := parts(v)
	if err != nil {
		return nil, err
	}
	if list == nil {
		return []string{name + "=" + enc(one)}, nil
	}
	var all []string
	for _, item := range list {
		all = append(all, name+"="+enc(item))
	}
	return all, nil
}
