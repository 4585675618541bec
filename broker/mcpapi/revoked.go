package mcpapi

import (
	"context"
	"sync"

	"github.com/deedbroker/deed/agents"
)

// openStreams are the streams that end when their callers are revoked.
type openStreams struct {
	mu  sync.Mutex
	all map[*openStream]struct{} // guarded by mu
}

type openStream struct {
	id  *agents.Identity
	end context.CancelFunc
}

// add registers a stream, until done is called.
func (o *openStreams) add(id *agents.Identity, end context.CancelFunc) (done func()) {
	s := &openStream{id, end}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[*openStream]struct{}{}
	}
	o.all[s] = struct{}{}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.all, s)
	}
}

// drop ends the streams of those whom gone names.
func (o *openStreams) drop(gone func(*agents.Identity) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range o.all {
		if gone(s.id) {
			s.end()
		}
	}
}

// watchRevocations ends the streams and sessions of the revoked, until the handler is
// closed. Their calls the broker ends itself.
func (h *Handler) watchRevocations() {
	gone := func(id *agents.Identity) bool { return h.cfg.Revocations.Denied(id) != nil }
	for {
		changed := h.cfg.Revocations.Changed()
		h.watched.drop(gone)
		for _, id := range h.sessions.drop(gone) {
			h.forget(h.ended, id)
		}
		select {
		case <-changed:
		case <-h.ended.Done():
			return
		}
	}
}

// drop ends the sessions that those whom gone names have opened, and gives their ids.
func (s *sessions) drop(gone func(*agents.Identity) bool) (ended []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.used.Front(); e != nil; {
		next := e.Next()
		if gone(e.Value.(*session).opener) {
			ended = append(ended, s.remove(e))
		}
		e = next
	}
	return ended
}

func (h *Handler) revoked(id *agents.Identity) bool {
	return h.cfg.Revocations != nil && h.cfg.Revocations.Denied(id) != nil
}
