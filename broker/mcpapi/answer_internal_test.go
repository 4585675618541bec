package mcpapi

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a connection whose client does not read until it is let go.
type stuck struct {
	header http.Header
	free   chan struct{}
	wrote  bytes.Buffer
}

func (s *stuck) Header() http.Header { return s.header }
func (s *stuck) WriteHeader(int)     {}
func (s *stuck) Flush()              {}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	return s.wrote.Write(p)
}

// The upstream whose notifications these are serves other agents too: it must not wait for a client that does not read.
func TestASlowClientHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := &stuck{header: http.Header{}, free: make(chan struct{})}
	a := newAnswer(w, true, time.Second)
	for range 10 * queued {
		a.send([]byte(`{"n":1}`))
	}
	close(w.free)
	a.finish(http.StatusOK, []byte("{\n\"last\": true}"))
	a.send([]byte(`{"late":true}`))
	a.close()
	events := strings.Split(strings.TrimSpace(w.wrote.String()), "\n\n")
	if n := len(events); n < queued || n > queued+2 {
		t.Errorf("%d events, want about %d", n, queued)
	}
	if last := events[len(events)-1]; last != "event: message\ndata: {\"last\":true}" {
		t.Errorf("the last is %q", last)
	}
}

func TestWithoutAStreamThereAreNoNotifications(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{"": false, "application/json": false, "application/json, text/event-stream": true, "*/*": true} {
		if got := acceptsEvents(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
	w := &stuck{header: http.Header{}, free: make(chan struct{})}
	close(w.free)
	a := newAnswer(w, false, time.Second)
	a.send([]byte("{}"))
	a.finish(http.StatusOK, []byte("[]"))
	if got := w.wrote.String(); got != "[]" {
		t.Errorf("wrote %q", got)
	}
}

func TestIdleSessionsMakeRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(Limits{MaxSessions: 2, MaxSessionsPerIdentity: 2, SessionIdle: time.Hour})
		a, b := &session{identity: "a"}, &session{identity: "b"}
		for _, n := range []*session{a, b} {
			if _, ok := s.open(n); !ok {
				t.Fatal("no room")
			}
		}
		time.Sleep(40 * time.Minute)
		if used, _ := s.use(a.id, "a", ""); used != a {
			t.Fatal("not found")
		}
		if ended, ok := s.open(&session{identity: "c"}); ok || len(ended) != 0 {
			t.Errorf("opened beyond the limit, ending %v", ended)
		}
		time.Sleep(40 * time.Minute)
		if ended, ok := s.open(&session{identity: "c"}); !ok || len(ended) != 1 || ended[0] != b.id {
			t.Errorf("opened %t, ended %v, want %s", ok, ended, b.id)
		}
		if len(s.byID) != 2 || s.used.Len() != 2 || len(s.count) != 2 {
			t.Errorf("%d, %d and %d are left", len(s.byID), s.used.Len(), len(s.count))
		}
	})
}
