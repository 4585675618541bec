package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/broker"
)

// decode reads a request's body strictly: one JSON object, no member that is not
// known, none twice, names exactly as they are.
func decode(r *http.Request, into any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != mediaJSON {
		return &refusal{Status: http.StatusUnsupportedMediaType, Kind: broker.Invalid.String(), Detail: "the body must be application/json"}
	}
	body, err := io.ReadAll(r.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &refusal{
			Status: http.StatusRequestEntityTooLarge, Kind: broker.Invalid.String(),
			Detail: "the body is larger than " + byteCount(tooLarge.Limit),
		}
	}
	if err != nil {
		return invalid("the body did not arrive")
	}
	if jsontext.Value(body).Kind() != '{' {
		return invalid("the body is not a JSON object")
	}
	return fault(json.Unmarshal(body, into, json.RejectUnknownMembers(true)))
}

// fault says what is wrong with a body without repeating what is in it.
func fault(err error) error {
	if err == nil {
		return nil
	}
	at := ""
	semantic, wrong := errors.AsType[*json.SemanticError](err)
	if wrong && semantic.JSONPointer != "" {
		at = " at " + printable(string(semantic.JSONPointer))
	}
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return invalid("the body has a member that is not known%s", at)
	case errors.Is(err, jsontext.ErrDuplicateName):
		return invalid("the body has a member twice")
	case wrong && semantic.GoType != nil && semantic.GoType.Kind() != reflect.Invalid:
		return invalid("the body has a value of the wrong type%s", at)
	default:
		return invalid("the body is not a JSON object")
	}
}
