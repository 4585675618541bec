package live

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
)

// startCursor is the name of the place before the first record.
const startCursor = "start"

// frame is a record on its way to viewers. It is parsed and framed at most once,
// and not before somebody looks.
type frame struct {
	at     audit.Position
	next   audit.Cursor
	stored []byte

	once    sync.Once
	bad     error          // it does not parse: nobody gets it
	call    string         // the call that it is about, if any
	subject broker.Subject // without the tool, unless the event names it
	message *websocket.PreparedMessage
}

func newFrame(r audit.Record) *frame {
	return &frame{at: r.Position, next: r.Next, stored: r.Stored}
}

// read parses and frames the record. It reports whether this call did it.
func (f *frame) read() (first bool) {
	f.once.Do(func() {
		first = true
		var e audit.Event
		if e, f.bad = (audit.Record{Position: f.at, Stored: f.stored}).Event(); f.bad != nil {
			return
		}
		f.subject.Domain = e.Domain
		if e.Topic == audit.TopicCalls {
			f.call = e.Subject
			f.subject.Principal, f.subject.Actor = e.Principal, e.Actor
			f.subject.Tool = toolOf(e)
		}
		f.message, f.bad = websocket.NewPreparedMessage(websocket.TextMessage, f.encode())
	})
	return first
}

// toolOf is the tool that an event names: one that opens its call.
func toolOf(e audit.Event) string {
	var data struct {
		Tool    string `json:"tool"`
		Request struct {
			Tool string `json:"tool"`
		} `json:"request"`
	}
	if e.Type != audit.CallIntent && e.Type != audit.CallDenied {
		return ""
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return ""
	}
	if e.Type == audit.CallIntent {
		return data.Tool
	}
	return data.Request.Tool
}

// encode is the frame as viewers get it, with the event exactly as it is stored.
func (f *frame) encode() []byte {
	var b strings.Builder
	b.Grow(len(f.stored) + 128)
	b.WriteString(`{"type":"record","cursor":`)
	b.Write(quote(string(f.next)))
	b.WriteString(`,"position":`)
	b.Write(quote(f.at.String()))
	b.WriteString(`,"event":`)
	b.Write(f.stored)
	b.WriteString(`}`)
	return []byte(b.String())
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // strings always marshal
	return b
}

// named is a cursor as viewers get it.
func named(c audit.Cursor) string {
	if c == "" {
		return startCursor
	}
	return string(c)
}
