package live_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/broker/live"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestResumingLosesAndRepeatsNothing disconnects viewers at random while records are
// appended, with a tail so short that they must go back to the log now and then.
func TestResumingLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		total := rapid.IntRange(1, 300).Draw(rt, "records")
		before := rapid.IntRange(0, total).Draw(rt, "before")
		tail := rapid.IntRange(2, 64).Draw(rt, "tail")
		stays := rapid.SliceOfN(rapid.IntRange(0, 40), 1, 30).Draw(rt, "stays")
		hideEvery := rapid.IntRange(2, 5).Draw(rt, "hidden every")

		r := start(t, func(c *live.Config) { c.Limits.TailRecords = tail })
		defer r.stop()
		r.hide("source", true)
		appendOne := func(n int) {
			e := control()
			if n%hideEvery == 0 {
				e.Domain = "source"
			}
			r.log.event(t, e)
		}
		for n := range before {
			appendOne(n)
		}
		var appending sync.WaitGroup
		appending.Go(func() {
			for n := before; n < total; n++ {
				appendOne(n)
			}
		})
		defer appending.Wait()

		cursor, want := "start", 0
		expect := func(m message) {
			for want%hideEvery == 0 {
				want++
			}
			if got, exp := m.Position, fmt.Sprintf("deed/control@%d", want); got != exp {
				rt.Fatalf("got %s, want %s", got, exp)
			}
			want++
		}
		last := total - 1
		for last >= 0 && last%hideEvery == 0 {
			last--
		}
		for visit := 0; want <= last; visit++ {
			c := r.watch(t, "alice", cursor)
			stay := 1 << 20
			if visit < len(stays) {
				stay = stays[visit]
			}
			for n := 0; n < stay && want <= last; n++ {
				m, err := c.read()
				if err != nil {
					break // too slow for so short a tail, which is fine
				}
				if m.Type == "record" {
					expect(m)
				}
				cursor = m.Cursor
			}
			_ = c.ws.Close()
		}
	})
}

// TestJoiningWhileTheFollowerLags reads the log faster than the hub follows it.
func TestJoiningWhileTheFollowerLags(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	r := start(t, func(c *live.Config) {
		c.Log.(*memory).lag = func() { <-release }
	})
	for range 10 {
		r.log.event(t, control())
	}
	c := r.watch(t, "alice", "start")
	for n := range 10 {
		if m := c.record(); m.Position != fmt.Sprintf("deed/control@%d", n) {
			t.Fatalf("record %s, want %d", m.Position, n)
		}
	}
	if m := c.next(); m.Type != "caught_up" {
		t.Fatalf("then %+v", m)
	}
	for range 5 {
		release <- struct{}{}
	}
	r.log.event(t, control())
	close(release)
	if m := c.record(); m.Position != "deed/control@10" {
		t.Errorf("joined at %s, want deed/control@10", m.Position)
	}
}
