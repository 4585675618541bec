package pulsar

import "sync"

// shelfBytes are how many bytes of payloads a shelf has at most.
const shelfBytes = 16 << 20

// shelf remembers the encrypted payloads of events: what was read, and what this process
// has written, which it need not read at all.
type shelf struct {
	mu    sync.Mutex
	body  map[string][]byte // guarded by mu: by event
	order []string          // guarded by mu: of body, the oldest first
	bytes int               // guarded by mu
	whole bool              // guarded by mu: all that was added since it began is there
}

// begin has the shelf say from now on whether it is whole.
func (s *shelf) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = true
}

func (s *shelf) isWhole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

func (s *shelf) get(event string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, known := s.body[event]
	return body, known
}

// add keeps the payloads of an event, and forgets the oldest ones.
func (s *shelf) add(event string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		s.body = map[string][]byte{}
	}
	if _, known := s.body[event]; known {
		return
	}
	s.body[event], s.order, s.bytes = body, append(s.order, event), s.bytes+len(body)
	for s.bytes > shelfBytes && len(s.order) > 1 {
		s.whole = false
		s.bytes -= len(s.body[s.order[0]])
		delete(s.body, s.order[0])
		s.order = s.order[1:]
	}
}
