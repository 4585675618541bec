package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/live"
)

// memory is a log in memory. Unlike a real one it also takes what does not parse.
type memory struct {
	mu      sync.Mutex
	records []audit.Record
	bell    chan struct{}
	lag     func() // called before the follower yields
}

func newMemory() *memory { return &memory{bell: make(chan struct{})} }

func cursorOf(n int) audit.Cursor { return audit.Cursor("m" + strconv.Itoa(n)) }

func (m *memory) add(log string, stored []byte) audit.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.records)
	r := audit.Record{Position: audit.Position{Log: log, Index: int64(n)}, Next: cursorOf(n + 1), Stored: stored}
	m.records = append(m.records, r)
	close(m.bell)
	m.bell = make(chan struct{})
	return r
}

func (m *memory) event(tb testing.TB, e audit.Event) audit.Record {
	tb.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	return m.add(e.LogName(), b)
}

func (m *memory) from(c audit.Cursor) (int, error) {
	if c == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(string(c), "m"))
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil || cursorOf(n) != c || n < 1 || n > len(m.records) {
		return 0, fmt.Errorf("%w: cursor", audit.ErrNotFound)
	}
	return n, nil
}

func (m *memory) Read(ctx context.Context, c audit.Cursor) iter.Seq2[audit.Record, error] {
	m.mu.Lock()
	end := len(m.records)
	m.mu.Unlock()
	return func(yield func(audit.Record, error) bool) {
		n, err := m.from(c)
		for ; err == nil && n < end; n++ {
			m.mu.Lock()
			r := m.records[n]
			m.mu.Unlock()
			if err = ctx.Err(); err == nil && !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(audit.Record{}, err)
		}
	}
}

func (m *memory) Follow(ctx context.Context, c audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		n, err := m.from(c)
		if err != nil {
			yield(audit.Record{}, err)
			return
		}
		for ctx.Err() == nil {
			m.mu.Lock()
			batch, bell := m.records[n:len(m.records):len(m.records)], m.bell
			m.mu.Unlock()
			for _, r := range batch {
				if m.lag != nil {
					m.lag()
				}
				if !yield(r, nil) {
					return
				}
				n++
			}
			if len(batch) > 0 {
				continue
			}
			select {
			case <-bell:
			case <-ctx.Done():
			}
		}
	}
}

// gate stands for authentication and policy. Tokens are names of people.
type gate struct {
	mu      sync.Mutex
	expires time.Time
	revoked map[string]agents.Kind
	hidden  map[string]bool // domains and tools that nobody may read
	refused []agents.Kind
	epoch   atomic.Int64
	asked   atomic.Int64
}

func (g *gate) Require(w http.ResponseWriter, r *http.Request) (*agents.Identity, bool) {
	name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("deed_session"); err == nil && name == "" {
		name = c.Value
	}
	if name == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return nil, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return &agents.Identity{Issuer: "https://idp.example", Principal: name, Expires: g.expires}, true
}

func (g *gate) Recheck(_ context.Context, r *http.Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if kind, ok := g.revoked[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]; ok {
		return &agents.Rejection{Kind: kind}
	}
	return nil
}

func (g *gate) Refuse(_ context.Context, r *agents.Rejection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = append(g.refused, r.Kind)
}

func (g *gate) refusals() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.refused)
}

func (g *gate) MayRead(_ *agents.Identity, s broker.Subject) bool {
	g.asked.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.hidden[s.Domain] && !g.hidden[s.Tool]
}

func (g *gate) hide(what string, hidden bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hidden[what] = hidden
	g.epoch.Add(1)
}

func (g *gate) Epoch() any { return g.epoch.Load() }

// rig is a hub behind a real HTTP server.
type rig struct {
	*gate
	log  *memory
	hub  *live.Hub
	url  string
	stop func()
}

func start(tb testing.TB, adjust func(*live.Config)) *rig {
	tb.Helper()
	r := &rig{log: newMemory(), gate: &gate{expires: time.Now().Add(time.Hour), revoked: map[string]agents.Kind{}, hidden: map[string]bool{}}}
	cfg := live.Config{
		Log: r.log, Auth: r.gate, Policy: r.gate, Epoch: r.Epoch, URL: "https://deed.example",
		Opening: func(context.Context, string) (broker.Subject, error) { return broker.Subject{}, audit.ErrNotFound },
		Logger:  slog.New(slog.DiscardHandler),
		Limits:  live.Limits{BatchEvery: time.Millisecond, ResolveWait: 50 * time.Millisecond},
	}
	if adjust != nil {
		adjust(&cfg)
	}
	var err error
	if r.hub, err = live.New(cfg); err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewServer(r.hub)
	r.url = "ws" + strings.TrimPrefix(server.URL, "http")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.hub.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("run hub: %v", err)
		}
		server.Close()
	})
	tb.Cleanup(r.stop)
	return r
}

// message is a frame as clients read it.
type message struct {
	Type     string          `json:"type"`
	Cursor   string          `json:"cursor"`
	Position string          `json:"position"`
	Live     bool            `json:"live"`
	Status   *live.Status    `json:"status"`
	Event    json.RawMessage `json:"event"`
	Viewer   struct {
		Principal string `json:"principal"`
		Person    bool   `json:"person"`
	} `json:"viewer"`
}

type client struct {
	tb testing.TB
	ws *websocket.Conn
}

func dial(tb testing.TB, url, cursor string, header http.Header) (*client, *http.Response, error) {
	tb.Helper()
	if cursor != "" {
		url += "?cursor=" + cursor
	}
	ws, resp, err := websocket.DefaultDialer.DialContext(tb.Context(), url, header)
	if err != nil {
		return nil, resp, err
	}
	tb.Cleanup(func() { _ = ws.Close() })
	return &client{tb, ws}, resp, nil
}

func as(name string) http.Header { return http.Header{"Authorization": {"Bearer " + name}} }

func (r *rig) watch(tb testing.TB, name, cursor string) *client {
	tb.Helper()
	c, resp, err := dial(tb, r.url, cursor, as(name))
	if err != nil {
		tb.Fatalf("dial: %v (%v)", err, resp)
	}
	return c
}

func (c *client) next() message {
	c.tb.Helper()
	m, err := c.read()
	if err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	return m
}

func (c *client) read() (message, error) {
	var m message
	if err := c.ws.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return m, err
	}
	_, b, err := c.ws.ReadMessage()
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(b, &m)
}

// ready reads the first frames of a viewer at the live end.
func (c *client) ready() {
	c.tb.Helper()
	if m := c.next(); m.Type != "hello" {
		c.tb.Fatalf("first frame is %q, want hello", m.Type)
	}
	if m := c.next(); m.Type != "caught_up" {
		c.tb.Fatalf("second frame is %q, want caught_up", m.Type)
	}
}

// record is the next frame that holds a record.
func (c *client) record() message {
	c.tb.Helper()
	for {
		if m := c.next(); m.Type == "record" {
			return m
		}
	}
}

// end reads until the connection is closed, and returns the code.
func (c *client) end() (int, string) {
	c.tb.Helper()
	for {
		if _, err := c.read(); err != nil {
			if e, ok := errors.AsType[*websocket.CloseError](err); ok {
				return e.Code, e.Text
			}
			c.tb.Fatalf("connection ended without a close frame: %v", err)
		}
	}
}

func control() audit.Event {
	return audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1"})
}
