package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

var errAmbiguous = errors.New("parse event: it is not unambiguous JSON: a name occurs twice, or a text is not UTF-8")

// PeekEvent is [ParseEvent] for those who read many: it does not decode the event's
// data, which stands last in every event that [Event.Encode] has made. Bytes in which
// two readers could see two different events are an error.
func PeekEvent(stored []byte) (Event, error) {
	const data = `,"data":`
	at, end := bytes.Index(stored, []byte(data)), len(stored)-1
	if at < 0 || stored[end] != '}' {
		return parseUnambiguous(stored)
	}
	// What is before the data is an object by itself, unless the text found is not an
	// attribute of the outermost object.
	head := append(stored[:at:at], '}')
	rest := stored[at+len(data) : end]
	var e Event
	if !jsontext.Value(head).IsValid() || !jsontext.Value(rest).IsValid() || json.Unmarshal(head, &e) != nil || e.Data != nil {
		return parseUnambiguous(stored)
	}
	e.Data = append(json.RawMessage(nil), rest...)
	e.Time = e.Time.UTC()
	if err := e.Validate(); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	return e, nil
}

func parseUnambiguous(stored []byte) (Event, error) {
	e, err := ParseEvent(stored)
	if err == nil && !jsontext.Value(stored).IsValid() {
		return Event{}, errAmbiguous
	}
	return e, err
}
