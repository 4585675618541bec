package audit

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Head is what a reader needs to decide whether an event concerns it.
type Head struct {
	ID      string
	Type    Type
	Source  string
	Subject string
}

// Peek reads the head of an event's stored bytes without reading its data, which
// stands after it in every event that this package encodes.
func Peek(stored []byte) (Head, error) {
	var h Head
	d := jsontext.NewDecoder(bytes.NewReader(stored))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return Head{}, fmt.Errorf("peek at event: not an object")
	}
	for d.PeekKind() == '"' && !h.whole() {
		name, err := d.ReadToken()
		if err != nil {
			return Head{}, fmt.Errorf("peek at event: %w", err)
		}
		into := h.field(name.String())
		if into == nil {
			if err := d.SkipValue(); err != nil {
				return Head{}, fmt.Errorf("peek at event: %w", err)
			}
			continue
		}
		v, err := d.ReadToken()
		if err != nil || v.Kind() != '"' {
			return Head{}, fmt.Errorf("peek at event: an attribute is not a string")
		}
		*into = v.String()
	}
	if h.ID == "" || h.Type == "" || h.Source == "" {
		return Head{}, fmt.Errorf("peek at event: id, type or source is missing")
	}
	return h, nil
}

func (h *Head) whole() bool {
	return h.ID != "" && h.Type != "" && h.Source != "" && h.Subject != ""
}

func (h *Head) field(name string) *string {
	switch name {
	case "id":
		return &h.ID
	case "type":
		return (*string)(&h.Type)
	case "source":
		return &h.Source
	case "subject":
		return &h.Subject
	default:
		return nil
	}
}
