package live_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/live"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestAViewerGetsNewRecordsExactlyAsTheyAreStored(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.log.event(t, control())
	c := r.watch(t, "alice", "start")
	hello := c.next()
	if hello.Type != "hello" || hello.Live || hello.Cursor != "start" || hello.Viewer.Principal != "alice" || !hello.Viewer.Person {
		t.Errorf("hello = %+v", hello)
	}
	if first := c.next(); first.Position != "deed/control@0" || first.Cursor != "m1" {
		t.Errorf("first record = %+v", first)
	}
	if m := c.next(); m.Type != "caught_up" || m.Cursor != "m1" {
		t.Errorf("after the past: %+v, want caught_up at m1", m)
	}
	stored := r.log.event(t, audittest.Intent(audittest.NewID(), `{}`))
	if m := c.record(); !bytes.Equal(m.Event, stored.Stored) || m.Cursor != string(stored.Next) {
		t.Errorf("record = %s at %s, want %s", m.Event, m.Cursor, stored.Stored)
	}
}

func TestAViewerIsToldHowTheReplicaIs(t *testing.T) {
	t.Parallel()
	behind := atomic.Int64{}
	r := start(t, func(c *live.Config) {
		c.Limits.PingEvery = time.Second
		c.Status = func(context.Context) live.Status {
			return live.Status{Replica: "a", BehindRecords: behind.Add(1), LogAvailable: true}
		}
	})
	c := r.watch(t, "alice", "")
	if hello := c.next(); hello.Status == nil || *hello.Status != (live.Status{Replica: "a", BehindRecords: 1, LogAvailable: true}) {
		t.Errorf("hello says %+v", hello.Status)
	}
	c.next() // caught up
	if m := c.next(); m.Type != "status" || m.Status.BehindRecords != 2 {
		t.Errorf("then %+v", m)
	}
}

func TestWithoutACursorAViewerBeginsAtTheLiveEnd(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	early := r.watch(t, "alice", "")
	early.ready()
	r.log.event(t, control())
	if m := early.record(); m.Position != "deed/control@0" {
		t.Errorf("first record = %+v", m)
	}
	late := r.watch(t, "bob", "")
	if m := late.next(); !m.Live || m.Cursor != "m1" {
		t.Errorf("hello = %+v, want live at m1", m)
	}
	if m := late.next(); m.Type != "caught_up" {
		t.Errorf("then %+v, want caught_up", m)
	}
	r.log.event(t, control())
	if m := late.record(); m.Position != "deed/control@1" {
		t.Errorf("first record = %+v", m)
	}
}

func TestOnlyWhatTheViewerMayReadIsSent(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.hide("deed", true)
	r.hide("payments.secret", true)
	c := r.watch(t, "alice", "")
	c.ready()
	hidden, shown := audittest.NewID(), audittest.NewID()
	secret := audittest.Intent(hidden, `{}`)
	secret.Data = bytes.ReplaceAll(secret.Data, []byte(audittest.Tool), []byte("payments.secret"))
	r.log.event(t, secret)
	r.log.event(t, control())
	r.log.event(t, audittest.Result(hidden, `{}`)) // of the hidden tool, though it does not say so
	r.log.event(t, audittest.Intent(shown, `{}`))
	r.log.event(t, audittest.Result(shown, `{}`))
	for _, want := range []string{"payments/calls@3", "payments/calls@4"} {
		if m := c.record(); m.Position != want {
			t.Errorf("record %s, want %s", m.Position, want)
		}
	}
}

func TestAPolicyChangeCountsFromTheNextRecordOn(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	c := r.watch(t, "alice", "")
	c.ready()
	r.log.event(t, control())
	c.record()
	r.hide("deed", true)
	r.log.event(t, control())
	marker := audittest.NewID()
	r.log.event(t, audittest.Intent(marker, `{}`))
	if m := c.record(); m.Position != "payments/calls@2" {
		t.Errorf("record %s after the policy hid the control log, want payments/calls@2", m.Position)
	}
	r.hide("deed", false)
	r.log.event(t, control())
	if m := c.record(); m.Position != "deed/control@3" {
		t.Errorf("record %s after the policy showed it again, want deed/control@3", m.Position)
	}
}

func TestThePolicyIsAskedOnceForEachSubject(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	c := r.watch(t, "alice", "")
	c.ready()
	for range 100 {
		r.log.event(t, control())
	}
	for range 100 {
		c.record()
	}
	if n := r.asked.Load(); n != 1 {
		t.Errorf("policy was asked %d times about one subject", n)
	}
}

func TestRecordsOfCallsOpenedLongAgoAreDecidedByTheirTool(t *testing.T) {
	t.Parallel()
	known, late, unknown := audittest.NewID(), audittest.NewID(), audittest.NewID()
	asked := 0
	r := start(t, func(c *live.Config) {
		c.Limits.MaxViewers = 1
		c.Opening = func(_ context.Context, id string) (broker.Subject, error) {
			switch id {
			case known:
				return broker.Subject{Domain: audittest.Domain, Tool: audittest.Tool}, nil
			case late:
				if asked++; asked > 1 {
					return broker.Subject{Domain: audittest.Domain, Tool: audittest.Tool}, nil
				}
			}
			return broker.Subject{}, fmt.Errorf("find: %w", audit.ErrNotFound)
		}
	})
	c := r.watch(t, "alice", "")
	c.ready()
	r.log.event(t, audittest.Result(known, `{}`))
	r.log.event(t, audittest.Result(unknown, `{}`))
	r.log.event(t, audittest.Result(unknown, `{}`))
	r.log.event(t, audittest.Result(late, `{}`))
	for _, want := range []string{"payments/calls@0", "payments/calls@3"} {
		if m := c.record(); m.Position != want {
			t.Errorf("record %s, want %s", m.Position, want)
		}
	}
	if s := r.hub.Stats(); s.Withheld != 1 {
		t.Errorf("withheld = %d, want 1: the second is remembered", s.Withheld)
	}
}

func TestRecordsThatDoNotParseAreSkippedAndCounted(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	c := r.watch(t, "alice", "")
	c.ready()
	r.log.add("payments/calls", []byte(`{"not":"an event"}`))
	r.log.add("payments/calls", []byte("\x00"))
	misrouted := audittest.Intent(audittest.NewID(), `{}`)
	misrouted.Domain = "source"
	stored := r.log.event(t, misrouted)
	r.log.add("payments/calls", stored.Stored)
	r.log.event(t, control())
	for _, want := range []string{"source/calls@2", "deed/control@4"} {
		if m := c.record(); m.Position != want {
			t.Errorf("record %s, want %s", m.Position, want)
		}
	}
	if s := r.hub.Stats(); s.Unreadable != 3 {
		t.Errorf("unreadable = %d, want 3", s.Unreadable)
	}
}

func TestAFilteredViewerStillLearnsWhereItIs(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *live.Config) { c.Limits.CursorEvery = 20 * time.Millisecond })
	r.hide("deed", true)
	c := r.watch(t, "alice", "")
	c.ready()
	r.log.event(t, control())
	if m := c.next(); m.Type != "cursor" || m.Cursor != "m1" {
		t.Errorf("frame = %+v, want a cursor at m1", m)
	}
}

func TestCloseCodes(t *testing.T) {
	t.Parallel()
	t.Run("expired token", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil)
		r.expires = time.Now().Add(100 * time.Millisecond)
		c := r.watch(t, "alice", "")
		if code, text := c.end(); code != live.CloseExpired || !strings.Contains(text, "log in") {
			t.Errorf("closed with %d %q", code, text)
		}
	})
	t.Run("revoked token", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(c *live.Config) { c.Limits.PingEvery = time.Second })
		r.revoked["alice"] = agents.BadSignature
		c := r.watch(t, "alice", "")
		if code, _ := c.end(); code != live.CloseExpired {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("trouble of the provider", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(c *live.Config) { c.Limits.PingEvery = time.Second }) // bob has three times that to answer
		r.revoked["bob"] = agents.ProviderTrouble
		b := r.watch(t, "bob", "")
		b.ready()
		pinged := make(chan struct{}, 16)
		b.ws.SetPingHandler(func(data string) error {
			pinged <- struct{}{}
			return b.ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		go func() { // reading answers pings
			<-pinged
			<-pinged
			r.log.event(t, control())
		}()
		b.record() // the provider's trouble has not cut bob off
	})
	for _, cursor := range []string{"m7", "nonsense", "m0", strings.Repeat("m", 300), "m1&cursor=m1", "%zz"} {
		t.Run("cursor "+cursor[:2], func(t *testing.T) {
			t.Parallel()
			r := start(t, nil)
			r.log.event(t, control())
			c := r.watch(t, "alice", cursor)
			if code, _ := c.end(); code != live.CloseBadCursor {
				t.Errorf("closed with %d", code)
			}
		})
	}
	t.Run("going away", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil)
		c := r.watch(t, "alice", "")
		c.ready()
		ended := make(chan int)
		go func() {
			code, _ := c.end()
			ended <- code
		}()
		r.stop()
		if code := <-ended; code != websocket.CloseGoingAway {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("a viewer that talks", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil)
		c := r.watch(t, "alice", "")
		c.ready()
		if err := c.ws.WriteMessage(websocket.TextMessage, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		r.log.event(t, control())
		c.record() // a little talk is ignored
		if err := c.ws.WriteMessage(websocket.TextMessage, make([]byte, 2000)); err != nil {
			t.Fatal(err)
		}
		if code, _ := c.end(); code != websocket.CloseMessageTooBig {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestASlowViewerIsCutOffAndNobodyElseNotices(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *live.Config) {
		c.Limits.TailRecords = 64
		c.Limits.WriteWait = 10 * time.Minute // it is cut off for being slow, however slow the machine is
	})
	slow := r.watch(t, "mallory", "")
	slow.ready()
	quick := r.watch(t, "alice", "")
	quick.ready()
	big := control()
	big.Data = []byte(`{"pad":"` + strings.Repeat("x", 200<<10) + `"}`)
	last := ""
	for n := range 120 { // 24 MB, far more than sockets hold
		r.log.event(t, big)
		m := quick.record()
		if want := fmt.Sprintf("deed/control@%d", n); m.Position != want {
			t.Fatalf("the quick viewer got %s, want %s", m.Position, want)
		}
	}
	for {
		m, err := slow.read()
		if err != nil {
			if e, ok := errors.AsType[*websocket.CloseError](err); !ok || e.Code != live.CloseTooSlow || !strings.Contains(e.Text, "resume") {
				t.Fatalf("the slow viewer ended with %v", err)
			}
			break
		}
		last = m.Cursor
	}
	if s := r.hub.Stats(); s.Dropped != 1 {
		t.Errorf("dropped = %d", s.Dropped)
	}
	again := r.watch(t, "mallory", last)
	var n int
	if _, err := fmt.Sscanf(last, "m%d", &n); err != nil {
		t.Fatal(err)
	}
	if m, want := again.record(), fmt.Sprintf("deed/control@%d", n); m.Position != want {
		t.Errorf("resumed at %s, want %s", m.Position, want)
	}
}

func TestRoomForViewersIsBounded(t *testing.T) {
	t.Parallel()
	r := start(t, func(c *live.Config) { c.Limits.MaxViewers, c.Limits.MaxViewersPerIdentity = 3, 2 })
	refused := func(name string, want int) {
		t.Helper()
		_, resp, err := dial(t, r.url, "", as(name))
		if err == nil || resp == nil || resp.StatusCode != want || resp.Header.Get("Retry-After") == "" {
			t.Errorf("one more %s: %v, %v; want %d", name, resp, err, want)
		}
	}
	a := r.watch(t, "alice", "")
	a.ready()
	r.watch(t, "alice", "").ready()
	refused("alice", http.StatusTooManyRequests)
	r.watch(t, "bob", "").ready()
	refused("carol", http.StatusServiceUnavailable)
	if err := a.ws.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); r.hub.Stats().Viewers != 2 && time.Now().Before(deadline); {
		r.log.event(t, control())
	}
	r.watch(t, "carol", "").ready()
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	own := "http://" + strings.TrimPrefix(r.url, "ws://")
	foreign := 0
	t.Cleanup(func() {
		if n := r.refusals(); n != foreign {
			t.Errorf("%d of %d refused pages were counted", n, foreign)
		}
	})
	for name, test := range map[string]struct {
		header http.Header
		want   int
	}{
		"token, no page":           {as("alice"), http.StatusSwitchingProtocols},
		"token, own page":          {http.Header{"Authorization": {"Bearer alice"}, "Origin": {own}}, http.StatusSwitchingProtocols},
		"token, canonical page":    {http.Header{"Authorization": {"Bearer alice"}, "Origin": {"https://deed.example"}}, http.StatusSwitchingProtocols},
		"token, foreign page":      {http.Header{"Authorization": {"Bearer alice"}, "Origin": {"https://evil.example"}}, http.StatusForbidden},
		"token, null origin":       {http.Header{"Authorization": {"Bearer alice"}, "Origin": {"null"}}, http.StatusForbidden},
		"canonical by http":        {http.Header{"Authorization": {"Bearer alice"}, "Origin": {"http://deed.example"}}, http.StatusForbidden},
		"cookie, own page":         {http.Header{"Cookie": {"deed_session=alice"}, "Origin": {own}}, http.StatusSwitchingProtocols},
		"cookie, foreign page":     {http.Header{"Cookie": {"deed_session=alice"}, "Origin": {"https://evil.example"}}, http.StatusForbidden},
		"cookie, no origin":        {http.Header{"Cookie": {"deed_session=alice"}}, http.StatusForbidden},
		"own page, nobody":         {http.Header{"Origin": {own}}, http.StatusUnauthorized},
		"own host, another scheme": {http.Header{"Authorization": {"Bearer alice"}, "Origin": {"https" + strings.TrimPrefix(own, "http")}}, http.StatusForbidden},
	} {
		if test.want == http.StatusForbidden {
			foreign++
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, resp, err := dial(t, r.url, "", test.header)
			if resp == nil || resp.StatusCode != test.want {
				t.Errorf("answered %v (%v), want %d", resp, err, test.want)
			}
		})
	}
}

func TestThatWhichIsNoWebSocketIsToldSo(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http"+strings.TrimPrefix(r.url, "ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("answered %s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	good := func() live.Config {
		return live.Config{
			Log: r.log, Auth: r.gate, Policy: r.gate, Epoch: r.Epoch, URL: "https://deed.example", Logger: discard(),
			Opening: func(context.Context, string) (broker.Subject, error) { return broker.Subject{}, nil },
		}
	}
	if _, err := live.New(good()); err != nil {
		t.Fatal(err)
	}
	var failures []string
	for name, spoil := range map[string]func(*live.Config){
		"log":   func(c *live.Config) { c.Log = nil },
		"epoch": func(c *live.Config) { c.Epoch = nil },
		"url":   func(c *live.Config) { c.URL = "deed.example" },
		"path":  func(c *live.Config) { c.URL = "https://deed.example/x" },
		"limit": func(c *live.Config) { c.Limits.TailBytes = -1 },
	} {
		c := good()
		spoil(&c)
		if _, err := live.New(c); err == nil {
			failures = append(failures, name)
		}
	}
	if diff := cmp.Diff([]string(nil), failures); diff != "" {
		t.Errorf("accepted: %s", diff)
	}
}
