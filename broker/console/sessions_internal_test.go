package console

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/agents"
)

func person(name string, lives time.Duration) *agents.Identity {
	return &agents.Identity{Issuer: "https://idp.example", Principal: name, Expires: time.Now().Add(lives)}
}

func TestASessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(10)
		value := s.start(person("bob", time.Hour))
		time.Sleep(time.Hour - time.Second)
		if id, ok := s.get(value); !ok || id.Principal != "bob" {
			t.Errorf("before its end: got %v, %t", id, ok)
		}
		time.Sleep(time.Second)
		if _, ok := s.get(value); ok {
			t.Error("it outlived its token")
		}
		if len(s.byID) != 0 || len(s.of) != 0 || s.ages.Len() != 0 {
			t.Error("something is left of it")
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSessions(MaxSessionsPerPerson + 4)
	var of []string
	for range MaxSessionsPerPerson + 1 {
		of = append(of, s.start(person("bob", time.Hour)))
	}
	if _, ok := s.get(of[0]); ok {
		t.Error("a person has more than they may")
	}
	if _, ok := s.get(of[1]); !ok {
		t.Error("more than the oldest has ended")
	}
	for i := range 5 {
		s.start(person(fmt.Sprint("p", i), time.Hour))
	}
	if len(s.byID) != s.max {
		t.Errorf("there are %d sessions, want %d", len(s.byID), s.max)
	}
	if _, ok := s.get(of[1]); ok {
		t.Error("another than the oldest has ended")
	}
	s.end(of[2])
	s.end("unknown")
	if _, ok := s.get(of[2]); ok {
		t.Error("it goes on after its end")
	}
}

func TestALoginIsReadOnlyWhereItBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, err := newSealer()
		if err != nil {
			t.Fatal(err)
		}
		elsewhere, err := newSealer()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := here.seal(attempt{Issuer: "i", State: "s", Expires: time.Now().Add(loginTime)})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := here.open(sealed, time.Now()); err != nil || a.State != "s" {
			t.Errorf("got %v, %v", a, err)
		}
		if _, err := elsewhere.open(sealed, time.Now()); err == nil {
			t.Error("another process reads it")
		}
		for _, bad := range []string{"", "!", "AAAA", sealed[:len(sealed)-2], sealed + "AA"} {
			if _, err := here.open(bad, time.Now()); err == nil {
				t.Errorf("%q is read", bad)
			}
		}
		time.Sleep(loginTime)
		if _, err := here.open(sealed, time.Now()); err == nil {
			t.Error("it is read after its time")
		}
	})
}
