package live

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// gatherBytes is how much is gathered before it is sent.
const gatherBytes = 32 << 10

// gathering is a connection that can gather what is written and send it at once,
// so that a burst of small frames costs one write. It has a deadline of its own
// for whatever really goes out.
type gathering struct {
	net.Conn
	writeWait atomic.Int64 // nanoseconds

	mu     sync.Mutex
	gather bool   // guarded by mu
	buf    []byte // guarded by mu
}

// SetWriteDeadline does nothing: each write has writeWait.
func (c *gathering) SetWriteDeadline(time.Time) error { return nil }

func (c *gathering) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gather {
		return c.send(p)
	}
	c.buf = append(c.buf, p...)
	if len(c.buf) < gatherBytes {
		return len(p), nil
	}
	return len(p), c.empty()
}

// hold gathers from now on.
func (c *gathering) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather = true
}

// release sends what was gathered, and gathers no more.
func (c *gathering) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather = false
	return c.empty()
}

func (c *gathering) empty() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.send(c.buf)
	if c.buf = c.buf[:0]; cap(c.buf) > 2*gatherBytes {
		c.buf = nil
	}
	return err
}

func (c *gathering) send(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(time.Duration(c.writeWait.Load()))); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// hurry gives what is being written, and all that follows, no more than wait.
func (c *gathering) hurry(wait time.Duration) {
	c.writeWait.Store(int64(wait))
	_ = c.Conn.SetWriteDeadline(time.Now().Add(wait)) // closed already: nothing is written any more
}

// hijacker gives the upgrader a gathering connection.
type hijacker struct {
	http.ResponseWriter
	writeWait time.Duration
	conn      *gathering // set by Hijack
}

// Hijack is [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over connection: %w", err)
	}
	if c == nil || rw == nil {
		return nil, nil, errors.New("take over connection: there is none")
	}
	h.conn = &gathering{Conn: c}
	h.conn.writeWait.Store(int64(h.writeWait))
	return h.conn, rw, nil
}
