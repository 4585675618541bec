package pulsartest

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	keys "github.com/deedbroker/deed/cmd/provide/pulsar"
)

// Gate stands between one client and Pulsar, which advertises it as a listener of its
// own. While it is shut the client is cut off: its connections end, and it gets no others.
type Gate struct {
	listener net.Listener
	target   string // host:port

	mute  atomic.Bool
	mu    sync.Mutex
	shut  bool              // guarded by mu
	conns map[net.Conn]bool // guarded by mu
	pipes sync.WaitGroup
}

// NewGate listens at a free port; Target has to be called before anybody connects.
func NewGate(tb testing.TB) *Gate {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	g := &Gate{listener: l, conns: map[net.Conn]bool{}}
	tb.Cleanup(func() {
		_ = l.Close() // nobody is served any more
		g.Shut()
		g.pipes.Wait()
	})
	return g
}

// URL is where the client connects.
func (g *Gate) URL() string {
	return "pulsar://127.0.0.1:" + strconv.Itoa(g.listener.Addr().(*net.TCPAddr).Port)
}

// Settings have Pulsar advertise the gate under a name, as the listener of clients that
// ask for it.
func (g *Gate) Settings(name string) map[string]string {
	return map[string]string{
		"advertisedListeners":  "internal:pulsar://127.0.0.1:" + keys.BrokerPort + "," + name + ":" + g.URL(),
		"internalListenerName": "internal",
	}
}

// Serve passes on whatever comes to the target, host:port.
func (g *Gate) Serve(target string) {
	g.target = target
	g.pipes.Go(func() {
		for {
			c, err := g.listener.Accept()
			if err != nil {
				return
			}
			g.pipes.Go(func() { g.pass(c) })
		}
	})
}

func (g *Gate) pass(c net.Conn) {
	up, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.target)
	if err != nil || !g.enter(c, up) {
		_ = c.Close()
		if up != nil {
			_ = up.Close()
		}
		return
	}
	g.pipes.Go(func() {
		_, _ = io.Copy(up, c)
		g.leave(c, up)
	})
	_, _ = io.Copy(&answers{to: c, gate: g}, up)
	g.leave(c, up)
}

// answers passes on what Pulsar says, unless the gate is mute.
type answers struct {
	to   io.Writer
	gate *Gate
}

// Write implements io.Writer.
func (a *answers) Write(p []byte) (int, error) {
	if a.gate.mute.Load() {
		return len(p), nil
	}
	return a.to.Write(p)
}

func (g *Gate) enter(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	for _, c := range conns {
		g.conns[c] = true
	}
	return true
}

func (g *Gate) leave(conns ...net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		delete(g.conns, c)
		_ = c.Close()
	}
}

// Mute loses what Pulsar answers, while it hears what the client says, until the client
// is cut off.
func (g *Gate) Mute() { g.mute.Store(true) }

// Shut cuts the client off.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	g.mute.Store(false)
	for c := range g.conns {
		_ = c.Close()
	}
}

// Open lets it connect again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}
