package verify

import (
	"bytes"
	"time"

	"github.com/deedbroker/deed/audit"
)

// decode reads an event as [audit.ParseEvent] does. Events about calls in the form
// in which audit encodes them, which are nearly all, are scanned in one go; their
// data is left to be checked by whoever decodes it.
func decode(stored []byte) (audit.Event, error) {
	if e, ok := scan(stored); ok {
		return e, nil
	}
	return audit.ParseEvent(stored)
}

// scan is the short way. It gives up at the first thing that is not as usual: an
// escape, a space, a name that is unknown or twice there.
func scan(b []byte) (audit.Event, bool) {
	var e audit.Event
	s := scanner{rest: b}
	if !s.skip('{') {
		return e, false
	}
	for n := 0; ; n++ {
		if n > 0 && !s.skip(',') {
			break
		}
		name, ok := s.text()
		if !ok || !s.skip(':') || !s.attribute(&e, string(name)) {
			return e, false
		}
	}
	if !s.skip('}') || len(s.rest) > 0 || !foldable(e.Type) || e.Topic != audit.TopicCalls {
		return e, false
	}
	return e, e.Validate() == nil
}

// foldable events are decoded whole, and so checked, by Call.Apply.
func foldable(t audit.Type) bool {
	return t == audit.CallIntent || t == audit.CallApproval || t == audit.CallEdited || t == audit.CallReleased || t == audit.CallReconciled || t.Closes()
}

type scanner struct{ rest []byte }

func (s *scanner) skip(c byte) bool {
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// text reads a string of plain ASCII.
func (s *scanner) text() ([]byte, bool) {
	if !s.skip('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			t := s.rest[:i]
			s.rest = s.rest[i+1:]
			return t, true
		case c < 0x20 || c >= 0x7f || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

func (s *scanner) attribute(e *audit.Event, name string) bool {
	var into *string
	switch name {
	case "data":
		return s.data(e)
	case "time":
		return e.Time.IsZero() && s.time(&e.Time)
	case "tokenexpires":
		if e.TokenExpires != nil {
			return false
		}
		e.TokenExpires = new(time.Time)
		return s.time(e.TokenExpires)
	case "type":
		t, ok := s.text()
		ok = ok && e.Type == ""
		e.Type = audit.Type(t)
		return ok
	case "specversion":
		into = &e.SpecVersion
	case "id":
		into = &e.ID
	case "source":
		into = &e.Source
	case "subject":
		into = &e.Subject
	case "datacontenttype":
		into = &e.DataContentType
	case "tenant":
		into = &e.Tenant
	case "domain":
		into = &e.Domain
	case "topic":
		into = &e.Topic
	case "principal":
		into = &e.Principal
	case "actor":
		into = &e.Actor
	case "traceparent":
		into = &e.TraceParent
	case "statement":
		into = &e.Statement
	default:
		return false
	}
	t, ok := s.text()
	if !ok || *into != "" || len(t) == 0 {
		return false
	}
	*into = string(t)
	return true
}

// time reads a time in UTC as audit writes it.
func (s *scanner) time(into *time.Time) bool {
	t, ok := s.text()
	if !ok || len(t) == 0 || t[len(t)-1] != 'Z' {
		return false
	}
	return into.UnmarshalText(t) == nil
}

// data takes the object that stands here, by its braces.
func (s *scanner) data(e *audit.Event) bool {
	if e.Data != nil || len(s.rest) == 0 || s.rest[0] != '{' {
		return false
	}
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				e.Data, s.rest = s.rest[:i+1:i+1], s.rest[i+1:]
				return true
			}
		case '"':
			n := quoted(s.rest[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		}
	}
	return false
}

// quoted is the length of the string that b begins with, 0 if it has no end.
func quoted(b []byte) int {
	for n := 1; ; {
		i := bytes.IndexByte(b[n:], '"')
		if i < 0 {
			return 0
		}
		end := n + i
		escapes := 0
		for b[end-1-escapes] == '\\' {
			escapes++
		}
		n = end + 1
		if escapes%2 == 0 {
			return n
		}
	}
}
