package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/spool"
)

func open(t *testing.T, dir string, limit int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *spool.Spool, e audit.Event) {
	t.Helper()
	if err := s.Put(e); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasPutComesBackInOrderWithItsPayloads(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	s := open(t, dir, 0)
	var want []audit.Event
	for i := range 12 {
		e := audittest.Result(audittest.NewID(), fmt.Sprintf(`{"n":%d}`, i))
		put(t, s, e)
		want = append(want, e)
	}
	away := errors.New("away")
	var got []audit.Event
	err := s.Drain(func(e audit.Event) error {
		if len(got) == 5 {
			return away
		}
		got = append(got, e)
		return nil
	})
	if !errors.Is(err, away) {
		t.Fatalf("got %v", err)
	}
	s = open(t, dir, 0) // as after a crash
	if s.Len() != 7 {
		t.Errorf("%d events are kept, want 7", s.Len())
	}
	if err := s.Drain(func(e audit.Event) error { got = append(got, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s.Len() != 0 {
		t.Errorf("%d events are left", s.Len())
	}
}

func TestWhatWasHalfWrittenIsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 0)
	put(t, s, audittest.Denied("one"))
	if err := os.WriteFile(filepath.Join(dir, "000000000001.event.json.new"), []byte(`{"ev`), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, 0)
	put(t, s, audittest.Denied("two"))
	var got []string
	if err := s.Drain(func(e audit.Event) error { got = append(got, e.Subject); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestASpoolHasABound(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 3000)
	n := 0
	for ; n < 100; n++ {
		if err := s.Put(audittest.Denied(audittest.NewID())); errors.Is(err, spool.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 || n == 100 {
		t.Fatalf("%d events were kept", n)
	}
	if err := s.Drain(func(audit.Event) error { return nil }); err != nil {
		t.Fatal(err)
	}
	put(t, s, audittest.Denied("more"))
}

// Whatever is put, drained, refused and opened again in between: the spool is a queue.
func TestASpoolIsAQueue(t *testing.T) {
	t.Parallel()
	place, dirs := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		dirs++
		dir := filepath.Join(place, strconv.Itoa(dirs))
		s, err := spool.Open(dir, 0)
		if err != nil {
			rt.Fatal(err)
		}
		var queue []string
		for i := range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"put", "put", "drain", "open"}).Draw(rt, "step") {
			case "put":
				name := fmt.Sprintf("call-%d", i)
				if err := s.Put(audittest.Denied(name)); err != nil {
					rt.Fatal(err)
				}
				queue = append(queue, name)
			case "drain":
				n := rapid.IntRange(0, 5).Draw(rt, "taken")
				stop := errors.New("stop")
				err := s.Drain(func(e audit.Event) error {
					if n == 0 {
						return stop
					}
					if len(queue) == 0 || e.Subject != queue[0] {
						rt.Fatalf("got %s, want the first of %v", e.Subject, queue)
					}
					n, queue = n-1, queue[1:]
					return nil
				})
				if err != nil && !errors.Is(err, stop) {
					rt.Fatal(err)
				}
			case "open":
				if s, err = spool.Open(dir, 0); err != nil {
					rt.Fatal(err)
				}
			}
			if s.Len() != len(queue) {
				rt.Fatalf("%d events are kept, want %d", s.Len(), len(queue))
			}
		}
	})
}
