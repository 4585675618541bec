package audit

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// marshal is json.Marshal, without reflection: the attributes of e in their order,
// then its data, which it checks and leaves as it is.
func marshal(e Event) ([]byte, error) {
	if !jsontext.Value(e.Data).IsValid() {
		return nil, errors.New("data is not JSON that can be read in one way only")
	}
	a := attributes{text: append(make([]byte, 0, 640+len(e.Data)), '{')}
	a.add("specversion", e.SpecVersion)
	a.add("id", e.ID)
	a.add("type", string(e.Type))
	a.add("source", e.Source)
	a.addIfSet("subject", e.Subject)
	a.addTime("time", e.Time)
	a.add("datacontenttype", e.DataContentType)
	a.add("tenant", e.Tenant)
	a.add("domain", e.Domain)
	a.add("topic", e.Topic)
	a.addIfSet("principal", e.Principal)
	a.addIfSet("actor", e.Actor)
	if e.TokenExpires != nil {
		a.addTime("tokenexpires", *e.TokenExpires)
	}
	a.addIfSet("traceparent", e.TraceParent)
	a.addIfSet("statement", e.Statement)
	if a.err != nil {
		return nil, a.err
	}
	return append(append(append(a.text, `"data":`...), e.Data...), '}'), nil
}

// attributes are members of a JSON object, each with a comma after it.
type attributes struct {
	text []byte
	err  error // the first
}

func (a *attributes) add(name, value string) {
	a.text = append(append(append(a.text, '"'), name...), `":`...)
	text, err := jsontext.AppendQuote(a.text, value)
	if a.text = append(text, ','); err != nil && a.err == nil {
		a.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (a *attributes) addIfSet(name, value string) {
	if value != "" {
		a.add(name, value)
	}
}

func (a *attributes) addTime(name string, t time.Time) {
	text, err := t.MarshalText()
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("%s: %w", name, err)
	}
	a.add(name, string(text))
}
