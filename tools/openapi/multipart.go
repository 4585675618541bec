package openapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
)

// What is not text travels in an argument as base64, as JSON has nothing else: files of a form, and
// bodies of other media types.

const octets = "application/octet-stream"

func isMultipart(kind string) bool {
	kind, _, err := mime.ParseMediaType(kind)
	return err == nil && kind == "multipart/form-data"
}

// isBinary reports whether a body goes as it is: its media type is one, and none that is known better.
func isBinary(kind string) bool {
	kind, _, err := mime.ParseMediaType(kind)
	return err == nil && !strings.Contains(kind, "*") && !strings.HasPrefix(kind, "multipart/") && !isJSON(kind) && !isForm(kind) && !isText(kind)
}

// base64Of is the schema of an argument that is bytes, which keeps what is said of them.
func base64Of(said map[string]any) map[string]any {
	schema := map[string]any{"type": "string", "contentEncoding": "base64", "description": "base64 of the content"}
	for _, keyword := range []string{"title", "contentMediaType"} {
		if said[keyword] != nil {
			schema[keyword] = said[keyword]
		}
	}
	if own, _ := said["description"].(string); own != "" {
		schema["description"] = own + " (base64 of the content)"
	}
	return schema
}

// isFile reports whether a member of a form is bytes: in the words of OpenAPI 3.0, or of JSON Schema.
func isFile(schema map[string]any) bool {
	return schema["type"] == "string" && (schema["format"] == "binary" || schema["contentMediaType"] != nil || schema["contentEncoding"] != nil)
}

// files finds the members of a form that are files, or lists of files, and makes their arguments base64.
func (in *input) files(object map[string]any) (names []string) {
	members, _ := object["properties"].(map[string]any)
	for name, member := range members {
		schema := in.inlined(withoutNull(member, parameter{}))
		items := in.inlined(schema["items"])
		switch {
		case isFile(schema):
			members[name] = base64Of(schema)
		case schema["type"] == "array" && isFile(items):
			schema["items"] = base64Of(items)
			members[name] = schema
		default:
			continue
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// members are the arguments that are members of the body, without those that are not there.
func (b *body) members(args map[string]any) map[string]any {
	object := args
	if b.Argument != "" {
		object, _ = args[b.Argument].(map[string]any)
	}
	object = maps.Clone(object)
	maps.DeleteFunc(object, func(name string, v any) bool {
		return v == nil || b.Argument == "" && !slices.Contains(b.Members, name)
	})
	return object
}

// multipart makes a form with files.
func (b *body) multipart(args map[string]any) (_ io.Reader, kind string, _ error) {
	var made bytes.Buffer
	w := multipart.NewWriter(&made)
	object := b.members(args)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		each, list := object[name].([]any)
		if !list {
			each = []any{object[name]}
		}
		for _, v := range each {
			if err := b.part(w, name, v); err != nil {
				return nil, "", err
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	return &made, w.FormDataContentType(), nil
}

// quoted is what names are quoted by, as package multipart does.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", "%0D", "\n", "%0A") //nolint:gochecknoglobals // a constant

// part writes one part of a form: a file, a plain value as text, or another one as JSON.
func (b *body) part(w *multipart.Writer, name string, v any) error {
	header := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + quoted.Replace(name) + `"`}}
	var content []byte
	var err error
	_, isObject := v.(map[string]any)
	_, isList := v.([]any)
	switch {
	case slices.Contains(b.Files, name):
		header.Set("Content-Disposition", multipart.FileContentDisposition(name, name)) // without a name services take it for text
		header.Set("Content-Type", octets)
		content, err = decoded(name, v)
	case isObject, isList:
		header.Set("Content-Type", "application/json")
		content, err = json.Marshal(v)
	default:
		var plain string
		plain, err = text(v)
		content = []byte(plain)
	}
	if err != nil {
		return err
	}
	into, err := w.CreatePart(header)
	if err == nil {
		_, err = into.Write(content)
	}
	return err
}

// decoded are the bytes of an argument.
func decoded(name string, v any) ([]byte, error) {
	said, ok := v.(string)
	content, err := base64.StdEncoding.DecodeString(said)
	if !ok || err != nil {
		return nil, fmt.Errorf("%s must be base64", name)
	}
	return content, nil
}
