package live_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/broker/live"
)

// batch is a frame of several records.
type batch struct {
	Type    string    `json:"type"`
	Cursor  string    `json:"cursor"`
	Records []message `json:"records"`
}

// gathers watches in batches, compressed or not, and returns what reads so many records.
func (r *rig) gathers(t *testing.T, name string, compressed bool) func(n int) (positions []string, frames int, cursor string) {
	t.Helper()
	dialer := *websocket.DefaultDialer
	dialer.EnableCompression = compressed
	ws, _, err := dialer.DialContext(t.Context(), r.url+"?batch=1", as(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	for _, want := range []string{"hello", "caught_up"} {
		var m message
		if err := ws.ReadJSON(&m); err != nil || m.Type != want {
			t.Fatalf("%q comes, want %s: %v", m.Type, want, err)
		}
	}
	return func(n int) (positions []string, frames int, cursor string) {
		for len(positions) < n {
			_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second)) // of an open connection
			_, text, err := ws.ReadMessage()
			if err != nil {
				t.Fatalf("after %d of %d records: %v", len(positions), n, err)
			}
			var b batch
			if err := json.Unmarshal(text, &b); err != nil {
				t.Fatal(err)
			}
			cursor = b.Cursor
			if b.Type != "records" {
				continue
			}
			frames++
			for _, m := range b.Records {
				if m.Type != "record" || len(m.Event) == 0 {
					t.Errorf("a record reads %+v", m)
				}
				positions = append(positions, m.Position)
			}
		}
		return positions, frames, cursor
	}
}

func TestBatchesHaveWhatEachMayRead(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *live.Config) { c.Limits.BatchEvery = 20 * time.Millisecond })
	r.hide("source", true)
	all, packed := r.gathers(t, "alice", false), r.gathers(t, "bob", true)
	const total = 600
	var want []string
	for n := range total {
		e := control()
		if n%3 == 0 {
			e.Domain = "source"
		} else {
			want = append(want, fmt.Sprintf("deed/control@%d", n))
		}
		r.log.event(t, e)
	}
	for name, read := range map[string]func(int) ([]string, int, string){"alice": all, "bob, compressed": packed} {
		got, frames, cursor := read(len(want))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s got %v, want %v", name, got, want)
		}
		if frames >= len(want)/2 || cursor == "" {
			t.Errorf("%s got %d records in %d frames, up to %q", name, len(got), frames, cursor)
		}
	}
}

func TestABatchEndsWhereOneCanResume(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	read := r.gathers(t, "alice", true)
	for range 10 {
		r.log.event(t, control())
	}
	_, _, cursor := read(10)
	r.log.event(t, control())
	c := r.watch(t, "alice", cursor)
	if got := c.record(); got.Position != "deed/control@10" {
		t.Errorf("it goes on with %s", got.Position)
	}
}
