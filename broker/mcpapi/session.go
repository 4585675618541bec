package mcpapi

import (
	"container/list"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
)

// sessions are those that clients before 2026-07-28 have opened. A session
// belongs to the identity and the path that opened it. Idle ones end when
// others open, so that no clock is needed.
type sessions struct {
	total, each int
	idle        time.Duration
	ended       func(*session) // told of each session that has ended, with mu held

	mu    sync.Mutex
	byID  map[string]*list.Element // of *session; guarded by mu
	used  *list.List               // the most recently used first; guarded by mu
	count map[string]int           // by identity; guarded by mu
}

type session struct {
	id       string
	identity string // agents.Identity.Key
	opener   *agents.Identity
	upstream string // of the path
	in       *inbound
	client   string
	protocol string
	watch    *watch
	can      jsontext.Value // what the client says that it can be asked
	level    string         // of logging/setLevel; guarded by sessions.mu
	last     time.Time

	mu       sync.Mutex
	inFlight map[string]context.CancelCauseFunc // by request id as sent; guarded by mu
	asked    map[string]chan<- *message         // questions by their id; guarded by mu
	asks     int                                // questions so far; guarded by mu
}

func newSessions(l Limits) *sessions {
	return &sessions{
		total: l.MaxSessions, each: l.MaxSessionsPerIdentity, idle: l.SessionIdle,
		ended: func(*session) {},
		byID:  map[string]*list.Element{}, used: list.New(), count: map[string]int{},
	}
}

// open starts a session, and names those that ended to make room for it; ok is
// false when there is none.
func (s *sessions) open(n *session) (ended []string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for e := s.used.Back(); e != nil && now.Sub(e.Value.(*session).last) > s.idle; e = s.used.Back() {
		ended = append(ended, s.remove(e))
	}
	if s.count[n.identity] >= s.each {
		ended = append(ended, s.remove(s.oldest(n.identity)))
	}
	if len(s.byID) >= s.total {
		return ended, false
	}
	n.id, n.last = rand.Text(), now
	n.watch = newWatch(n.in, n.id)
	n.inFlight, n.asked = map[string]context.CancelCauseFunc{}, map[string]chan<- *message{}
	s.byID[n.id] = s.used.PushFront(n)
	s.count[n.identity]++
	return ended, true
}

// oldest is the least recently used session of an identity that has one. The caller holds mu.
func (s *sessions) oldest(identity string) *list.Element {
	e := s.used.Back()
	for e.Value.(*session).identity != identity {
		e = e.Prev()
	}
	return e
}

// remove forgets a session and gives its id. The caller holds mu.
func (s *sessions) remove(e *list.Element) string {
	n := s.used.Remove(e).(*session)
	s.ended(n)
	delete(s.byID, n.id)
	if s.count[n.identity]--; s.count[n.identity] == 0 {
		delete(s.count, n.identity)
	}
	return n.id
}

// use finds the session id for the identity and path that opened it, and for no others.
func (s *sessions) use(id, identity, upstream string) (n *session, foreign bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[id]
	if !ok {
		return nil, false
	}
	n = e.Value.(*session)
	if n.identity != identity || n.upstream != upstream {
		return nil, n.identity != identity
	}
	n.last = time.Now()
	s.used.MoveToFront(e)
	return n, false
}

func (s *sessions) known(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.byID[id]
	return ok
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byID[id]; ok {
		s.remove(e)
	}
}

func (s *sessions) setLevel(id, level string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byID[id]; ok {
		e.Value.(*session).level = level
	}
}

func (s *sessions) level(n *session) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.level
}

// started registers a call that notifications/cancelled may end, until done is called.
func (n *session) started(requestID string, cancel context.CancelCauseFunc) (done func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.inFlight[requestID]; taken {
		return func() {} // a client that uses an id twice cannot cancel the second call
	}
	n.inFlight[requestID] = cancel
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.inFlight, requestID)
	}
}

func (n *session) cancel(requestID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cancel, ok := n.inFlight[requestID]; ok {
		cancel(broker.ErrCancelled)
	}
}

// sessionResolver gives mcp-go the session that was checked or opened for a request.
type sessionResolver struct{ sessions *sessions }

func (s sessionResolver) ResolveSessionIdManager(r *http.Request) server.SessionIdManager { // the name is mcp-go's
	m := checkedSession{sessions: s.sessions}
	if r != nil {
		if in, ok := r.Context().Value(inboundKey{}).(*inbound); ok {
			m.id = in.session
		}
	}
	return m
}

type checkedSession struct {
	sessions *sessions
	id       string
}

func (c checkedSession) Generate() string { return c.id }

func (c checkedSession) Validate(id string) (terminated bool, err error) {
	if id == "" || id != c.id || !c.sessions.known(id) {
		return false, errors.New("no such session")
	}
	return false, nil
}

func (c checkedSession) Terminate(id string) (notAllowed bool, err error) {
	c.sessions.end(id)
	return false, nil
}
