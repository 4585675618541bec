package openapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/web"
)

var variable = regexp.MustCompile(`\{([^{}]*)\}`) //nolint:gochecknoglobals // a constant

// checkPath makes sure that each variable of the path is a parameter.
func (o *operation) checkPath() error {
	if !strings.HasPrefix(o.path, "/") || strings.ContainsAny(o.path, "?#") {
		return errors.New("its path is not one")
	}
	for _, found := range variable.FindAllStringSubmatch(o.path, -1) {
		if !slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.In == openapi3.ParameterInPath && p.Name == found[1] }) {
			return fmt.Errorf("the variable %.50q of its path is no parameter", found[1])
		}
	}
	return nil
}

// request makes the request of a call. The error is for the caller.
func (o *operation) request(ctx context.Context, base *url.URL, c tools.Call) (*http.Request, error) {
	args, err := tools.ParseArguments(c.Arguments)
	if err != nil {
		return nil, err
	}
	at, err := o.url(base, args.Value)
	if err != nil {
		return nil, err
	}
	body, kind, err := o.content(c.Arguments, args.Value)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, o.method, at.String(), body)
	if err != nil {
		return nil, errors.New("the arguments make no valid request")
	}
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
	if err := o.headers(r, args.Value); err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json, application/problem+json, */*;q=0.1")
	r.Header.Set("User-Agent", "deed")
	if c.TraceParent != "" {
		r.Header.Set("Traceparent", c.TraceParent)
	}
	if key := cmp.Or(c.IdempotencyKey, c.ID); o.keyHeader != "" && key != "" {
		r.Header.Set(o.keyHeader, key)
	}
	return r, nil
}

// url is where a request goes: always below base, and to this operation.
func (o *operation) url(base *url.URL, args map[string]any) (*url.URL, error) {
	var fault error
	path := variable.ReplaceAllStringFunc(o.path, func(found string) string {
		at := slices.IndexFunc(o.parameters, func(p parameter) bool {
			return p.In == openapi3.ParameterInPath && p.Name == found[1:len(found)-1]
		})
		segment, err := o.parameters[at].segment(args)
		if fault == nil {
			fault = err
		}
		return segment
	})
	if fault != nil {
		return nil, fault
	}
	query, err := o.query(args)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(base.Scheme + "://" + base.Host + base.EscapedPath() + path)
	if err != nil || !web.Within(base, at) || climbs(at.Path) {
		return nil, errors.New("the arguments make no valid path")
	}
	at.RawQuery = query
	return at, nil
}

// climbs reports whether a path has a segment that some servers take for a way up.
func climbs(path string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }), func(s string) bool {
		name, _, _ := strings.Cut(s, ";")
		return name == ".." || name == "."
	})
}

// segment is a parameter in the path. It can't be empty: another operation would be meant.
func (p parameter) segment(args map[string]any) (string, error) {
	v, given := args[p.Argument]
	if !given || v == nil {
		return "", fmt.Errorf("%s is needed", p.Argument)
	}
	segment, err := p.encode(v, escape)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s %w", p.Argument, err)
	case segment == "":
		return "", fmt.Errorf("%s must not be empty", p.Argument)
	default:
		return segment, nil
	}
}

func (p parameter) encode(v any, escape func(string) string) (string, error) {
	if !p.JSON {
		return p.joined(v, escape)
	}
	raw, err := json.Marshal(v)
	return escape(string(raw)), err
}

func (o *operation) query(args map[string]any) (string, error) {
	var all []string
	for _, p := range o.parameters {
		v, given := args[p.Argument]
		if p.In != openapi3.ParameterInQuery || !given || v == nil {
			continue
		}
		if object, ok := v.(map[string]any); ok && p.Explode && p.Style == openapi3.SerializationForm {
			if err := o.clash(p, object); err != nil {
				return "", err
			}
		}
		if p.JSON {
			value, err := p.encode(v, escape)
			if err != nil {
				return "", err
			}
			all = append(all, escape(p.Name)+"="+value)
			continue
		}
		made, err := p.query(v)
		if err != nil {
			return "", fmt.Errorf("%s %w", p.Argument, err)
		}
		all = append(all, made...)
	}
	return strings.Join(all, "&"), nil
}

// clash refuses an object whose members would be taken for other parameters.
func (o *operation) clash(p parameter, object map[string]any) error {
	for _, other := range o.parameters {
		if _, named := object[other.Name]; named && other.In == openapi3.ParameterInQuery && other.Name != p.Name {
			return fmt.Errorf("%s has a member %s, which is a parameter of its own", p.Argument, other.Name)
		}
	}
	return nil
}

func (o *operation) headers(r *http.Request, args map[string]any) error {
	var cookies []string
	for _, p := range o.parameters {
		v, given := args[p.Argument]
		if !given || v == nil {
			continue
		}
		switch p.In {
		case openapi3.ParameterInHeader:
			value, err := p.encode(v, raw)
			if err == nil && strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				err = errors.New("has characters that no header can have")
			}
			if err != nil {
				return fmt.Errorf("%s %w", p.Argument, err)
			}
			r.Header.Set(p.Name, value)
		case openapi3.ParameterInCookie:
			made, err := p.cookie(v)
			if err != nil {
				return fmt.Errorf("%s %w", p.Argument, err)
			}
			cookies = append(cookies, made...)
		}
	}
	if len(cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	return nil
}

func (p parameter) cookie(v any) ([]string, error) {
	if _, object := v.(map[string]any); object && p.Explode && !p.JSON {
		return nil, errNested // its members would be cookies of their own names
	}
	if !p.JSON {
		return p.query(v)
	}
	value, err := p.encode(v, escape)
	return []string{escape(p.Name) + "=" + value}, err
}

// content is the body of a request and its media type; nil for none.
func (o *operation) content(raw json.RawMessage, args map[string]any) (_ io.Reader, kind string, _ error) {
	if o.body == nil {
		return nil, "", nil
	}
	var members map[string]json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, "", errors.New("the arguments are no object")
		}
	}
	value, given := members[o.body.Argument], true
	if o.body.Argument == "" {
		value, given = o.body.object(members)
	} else if value == nil {
		given = false
	}
	switch kind = o.body.Type; {
	case !given:
		return nil, "", nil
	case isJSON(kind):
		return bytes.NewReader(value), kind, nil
	case isText(kind):
		t, err := text(args[o.body.Argument])
		return strings.NewReader(t), kind, err
	case isForm(kind):
		made, err := o.body.form(args)
		return made, kind, err
	case isMultipart(kind):
		return o.body.multipart(args)
	default:
		content, err := decoded(o.body.Argument, args[o.body.Argument])
		return bytes.NewReader(content), kind, err
	}
}

// object is the JSON object of the arguments that are its members, each as it was given.
func (b *body) object(args map[string]json.RawMessage) (json.RawMessage, bool) {
	object := []byte{'{'}
	for _, name := range b.Members {
		value, given := args[name]
		if !given {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		quoted, _ := json.Marshal(name) // a string always marshals
		object = append(append(append(object, quoted...), ':'), value...)
	}
	return append(object, '}'), len(object) > 1 || b.Required
}

func (b *body) form(args map[string]any) (io.Reader, error) {
	var all []string
	for name, v := range b.members(args) {
		made, err := parameter{Name: name, Style: openapi3.SerializationForm, Explode: true}.query(v)
		if err != nil {
			return nil, fmt.Errorf("%s %w", name, err)
		}
		all = append(all, made...)
	}
	slices.Sort(all)
	return strings.NewReader(strings.Join(all, "&")), nil
}
