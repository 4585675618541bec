package console

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
)

// sessionID is the digest of a cookie's value: whoever reads this table's memory
// cannot log in with it, and looking up takes no time that depends on a secret.
type sessionID [sha256.Size]byte

type session struct {
	id       sessionID
	identity *agents.Identity
}

// sessions are who is logged in.
type sessions struct {
	max int

	mu   sync.Mutex
	byID map[sessionID]*list.Element // guarded by mu
	ages *list.List                  // guarded by mu; of *session, the oldest first
	of   map[string]int              // guarded by mu; sessions by [agents.Identity.Key]
}

func newSessions(most int) *sessions {
	return &sessions{max: most, byID: map[sessionID]*list.Element{}, ages: list.New(), of: map[string]int{}}
}

// start begins a session, and returns the value of its cookie.
func (s *sessions) start(id *agents.Identity) string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: see its documentation
	value := base64.RawURLEncoding.EncodeToString(secret[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(time.Now())
	key := id.Key()
	if s.of[key] >= MaxSessionsPerPerson {
		s.dropOldest(func(other *session) bool { return other.identity.Key() == key })
	}
	if len(s.byID) >= s.max {
		s.dropOldest(func(*session) bool { return true })
	}
	one := &session{id: sha256.Sum256([]byte(value)), identity: id}
	s.byID[one.id] = s.ages.PushBack(one)
	s.of[key]++
	return value
}

// get is whom a cookie's value stands for.
func (s *sessions) get(value string) (*agents.Identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[sha256.Sum256([]byte(value))]
	if !ok {
		return nil, false
	}
	one := e.Value.(*session)
	if !time.Now().Before(one.identity.Expires) {
		s.drop(e)
		return nil, false
	}
	return one.identity, true
}

// end forgets a session, if there is one.
func (s *sessions) end(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byID[sha256.Sum256([]byte(value))]; ok {
		s.drop(e)
	}
}

func (s *sessions) sweep(now time.Time) {
	for e := s.ages.Front(); e != nil; {
		next := e.Next()
		if !now.Before(e.Value.(*session).identity.Expires) {
			s.drop(e)
		}
		e = next
	}
}

func (s *sessions) dropOldest(which func(*session) bool) {
	for e := s.ages.Front(); e != nil; e = e.Next() {
		if which(e.Value.(*session)) {
			s.drop(e)
			return
		}
	}
}

func (s *sessions) drop(e *list.Element) {
	one := e.Value.(*session)
	s.ages.Remove(e)
	delete(s.byID, one.id)
	key := one.identity.Key()
	if s.of[key]--; s.of[key] <= 0 {
		delete(s.of, key)
	}
}

// Names of cookies. With https they are bound to the host by their prefix (RFC
// 6265bis section 4.1.3.2), which browsers refuse without it.
const (
	secureSession = "__Host-deed"
	plainSession  = "deed_session"
	secureLogin   = "__Host-deed-login"
	plainLogin    = "deed_login"
)

func (c *Console) secure() bool { return c.url.Scheme == "https" }

func (c *Console) sessionCookie() string {
	if c.secure() {
		return secureSession
	}
	return plainSession
}

func (c *Console) loginCookie() string {
	if c.secure() {
		return secureLogin
	}
	return plainLogin
}

// setCookie sets a cookie until it expires; one without a value is taken away.
func (c *Console) setCookie(w http.ResponseWriter, name, value string, site http.SameSite, expires time.Time) {
	cookie := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: c.secure(), SameSite: site, Expires: expires} //nolint:gosec // Secure wherever there is https
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}
