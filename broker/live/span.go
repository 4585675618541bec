package live

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
)

const (
	maxSpans    = 16
	maxTogether = 64 // subjects in a span that is framed once for all
)

// span is a stretch of the tail as those get it who ask for records together: framed,
// and compressed, once for all who may read the same of it.
type span struct {
	from   uint64 // the number of the record before the first
	frames []*frame
	next   audit.Cursor

	once     sync.Once
	subjects []broker.Subject // of the frames, each once
	of       []int            // of each frame, where its subject is; -1: nobody may see it
	many     bool             // too many subjects to tell by one word who may read which

	mu       sync.Mutex
	messages map[uint64]*websocket.PreparedMessage // guarded by mu: by the subjects that may be read, a bit each
}

// spans are the newest ones.
type spans struct {
	mu   sync.Mutex
	last []*span // guarded by mu
}

// get gives the span of these frames, the same to all who ask.
func (s *spans) get(from uint64, frames []*frame) *span {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.last {
		if known.from == from && len(known.frames) == len(frames) {
			return known
		}
	}
	made := &span{from: from, frames: append([]*frame(nil), frames...), next: frames[len(frames)-1].next, messages: map[uint64]*websocket.PreparedMessage{}}
	if len(s.last) == maxSpans {
		s.last = append(s.last[:0], s.last[1:]...)
	}
	s.last = append(s.last, made)
	return made
}

// look finds the subjects, once.
func (s *span) look(ctx context.Context, h *Hub) {
	s.once.Do(func() {
		where := map[broker.Subject]int{}
		for _, f := range s.frames {
			subject, ok := h.subject(ctx, f)
			if !ok {
				s.of = append(s.of, -1)
				continue
			}
			at, known := where[subject]
			if !known {
				at = len(s.subjects)
				where[subject], s.subjects = at, append(s.subjects, subject)
			}
			s.of = append(s.of, at)
		}
		s.many = len(s.subjects) > maxTogether
	})
}

// message has the records of the subjects that a viewer may read.
func (s *span) message(may uint64) (*websocket.PreparedMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.messages[may]; m != nil {
		return m, nil
	}
	b := bytes.NewBufferString(`{"type":"records","cursor":`)
	b.Write(quote(string(s.next)))
	b.WriteString(`,"records":[`)
	comma := false
	for i, f := range s.frames {
		if s.of[i] < 0 || may&(1<<s.of[i]) == 0 {
			continue
		}
		if comma {
			b.WriteByte(',')
		}
		comma = true
		b.Write(f.encode())
	}
	b.WriteString(`]}`)
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, b.Bytes())
	if err == nil {
		s.messages[may] = m
	}
	return m, err
}

// showAll sends what the viewer may read of some frames in one message.
func (v *viewer) showAll(from uint64, frames []*frame) error {
	s := v.hub.spans.get(from, frames)
	s.look(v.hub.live, v.hub) // for all: no viewer's leaving may end it
	if s.many {
		return v.showEach(frames)
	}
	v.at = s.next
	var may uint64
	for i, subject := range s.subjects {
		if v.mayRead(subject) {
			may |= 1 << i
		}
	}
	if may == 0 {
		return nil
	}
	m, err := s.message(may)
	if err == nil {
		err = v.ws.WritePreparedMessage(m)
	}
	v.told, v.toldAt = s.next, time.Now()
	if err != nil {
		return fmt.Errorf("send records: %w", err)
	}
	return nil
}
