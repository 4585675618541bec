package mcpapi

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// queued is how many notifications of one call may wait for a slow client; more are dropped.
const queued = 64

// answer is the response to one request: one JSON document, or, once there was a
// notification to send before it, a stream of events that the response ends. Sending
// never waits for the client; finish waits until what was queued is written.
type answer struct {
	w       *timedWriter
	streams bool // the client takes events

	mu     sync.Mutex
	queue  chan []byte // nil until the first event; guarded by mu
	closed bool        // guarded by mu
	pumped chan struct{}
}

func newAnswer(w http.ResponseWriter, streams bool, timeout time.Duration) *answer {
	return &answer{w: newTimedWriter(w, timeout), streams: streams}
}

// acceptsEvents reports whether a client takes a stream as the answer to a POST.
func acceptsEvents(header http.Header) bool {
	for _, v := range header["Accept"] {
		if strings.Contains(v, "text/event-stream") || strings.Contains(v, "*/*") {
			return true
		}
	}
	return false
}

// send queues a notification. It is dropped if the client takes no events, is too
// slow, or has been answered.
func (a *answer) send(notification []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.streams || a.closed {
		return
	}
	a.open()
	select {
	case a.queue <- notification:
	default:
	}
}

// start makes a stream of the answer before there is anything to send.
func (a *answer) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams && !a.closed {
		a.open()
	}
}

// open must be called with mu held.
func (a *answer) open() {
	if a.queue == nil {
		a.queue = make(chan []byte, queued)
		a.pumped = make(chan struct{})
		go a.pump(a.queue)
	}
}

// end ends a stream that has no response.
func (a *answer) end() {
	a.close()
	a.w.release()
}

func (a *answer) pump(queue <-chan []byte) {
	defer close(a.pumped)
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	a.w.WriteHeader(http.StatusOK)
	a.w.Flush()
	for notification := range queue {
		a.event(notification)
	}
}

func (a *answer) event(data []byte) {
	if bytes.ContainsAny(data, "\r\n") { // which would end the line
		v := jsontext.Value(bytes.Clone(data))
		if err := v.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			return // not JSON, which nothing here sends
		}
		data = v
	}
	b := append(make([]byte, 0, len(data)+24), "event: message\ndata: "...)
	b = append(append(b, data...), "\n\n"...)
	if _, err := a.w.Write(b); err == nil {
		a.w.Flush()
	}
}

// close stops taking notifications, and waits until the queued ones are written.
func (a *answer) close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		if a.queue != nil {
			close(a.queue)
		}
	}
	a.mu.Unlock()
	if a.pumped != nil {
		<-a.pumped
	}
}

// finish sends the response; status counts only if nothing was sent before.
func (a *answer) finish(status int, response []byte) {
	a.close()
	defer a.w.release()
	if a.pumped != nil {
		a.event(response)
		return
	}
	h := a.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(response)))
	a.w.WriteHeader(status)
	_, _ = a.w.Write(response) // the client is gone; what was done is on record
}
