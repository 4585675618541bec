package upstream

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

const (
	methodProgress    = "notifications/progress"
	methodMessage     = "notifications/message"
	methodListChanged = "notifications/tools/list_changed"
	methodUpdated     = "notifications/resources/updated"

	maxNotes = 64 // notifications that wait for the call's goroutine; more are dropped
)

type note struct {
	method string
	params json.RawMessage
}

// flight is a call as far as the server's own messages are concerned.
type flight struct {
	token  string
	task   string    // the server's, that the call has become; guarded by the session's mu
	made   string    // when its server says that it made that
	notes  chan note // nil if none are wanted
	asking tools.Asking
	flying context.Context //nolint:containedctx // ends with the call
	down   func()

	elsewhere bool // the task was made in another session, and it has not been asked yet whether it is still there
}

// flightKey is where the context of a request has the flight that it belongs to.
type flightKey struct{}

func (s *session) takeOff(ctx context.Context, c tools.Call) (context.Context, *flight) {
	f := &flight{asking: c.Asking}
	ctx = context.WithValue(ctx, flightKey{}, f)
	f.flying, f.down = context.WithCancel(ctx)
	f.token = "deed-progress-" + strconv.FormatInt(s.ids.Add(1), 10)
	if c.Notify != nil {
		f.notes = make(chan note, maxNotes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flights[f.token] = f
	return ctx, f
}

func (s *session) land(f *flight) {
	f.down()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flights, f.token)
}

// drain delivers what came before the answer.
func (f *flight) drain(notify func(string, json.RawMessage)) {
	for {
		select {
		case n := <-f.notes:
			notify(n.method, n.params)
		default:
			return
		}
	}
}

// notified routes a notification of the server. It never blocks: it is called by what
// reads the server's messages.
func (s *session) notified(n mcp.JSONRPCNotification, changed func()) {
	switch n.Method {
	case methodListChanged:
		changed()
	case "notifications/resources/list_changed":
		s.tell(tools.Notice{Listing: tools.ListResources})
	case "notifications/prompts/list_changed":
		s.tell(tools.Notice{Listing: tools.ListPrompts})
	case methodUpdated:
		uri, _ := n.Params.AdditionalFields["uri"].(string)
		s.tell(tools.Notice{URI: uri})
	case methodProgress, methodMessage:
		if !s.http { // what comes over HTTP is overheard
			s.said(n)
		}
	}
}

// said routes progress and log messages.
func (s *session) said(n mcp.JSONRPCNotification) {
	switch n.Method {
	case methodProgress:
		token, _ := n.Params.AdditionalFields[metaProgressToken].(string)
		s.deliver(s.flightOf(token), n)
	case methodMessage:
		s.deliver(s.onlyFlight(), n)
	}
}

func (s *session) tell(n tools.Notice) {
	if notice := s.notice.Load(); notice != nil && (n.Listing != "" || n.URI != "") {
		(*notice)(n)
	}
}

func (s *session) flightOf(token string) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights[token]
}

// flightOfTask is the call that has become a task of the server.
func (s *session) flightOfTask(id string) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.flights {
		if f.task == id {
			return f
		}
	}
	return nil
}

// onlyFlight is the call that runs, if only one does: log messages and requests over
// stdio do not say which call they are about, and another caller must not read them.
func (s *session) onlyFlight() *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != 1 {
		return nil
	}
	for _, f := range s.flights {
		return f
	}
	return nil
}

func (s *session) deliver(f *flight, n mcp.JSONRPCNotification) {
	if f == nil || f.notes == nil {
		return
	}
	fields := make(map[string]any, len(n.Params.AdditionalFields))
	for name, value := range n.Params.AdditionalFields {
		if name != metaProgressToken { // ours, and of no use to the caller
			fields[name] = value
		}
	}
	params, err := json.Marshal(fields)
	if err != nil {
		return // decoded from JSON, it encodes
	}
	f.queue(note{n.Method, params})
}

// queue keeps a notification for the call's goroutine.
func (f *flight) queue(n note) {
	if f == nil || f.notes == nil {
		return
	}
	select {
	case f.notes <- n:
	default: // progress is told again, and a caller that does not read must not stop the server's other calls
	}
}
