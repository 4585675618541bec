package upstream

import (
	"encoding/json"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

const (
	methodProgress    = "notifications/progress"
	methodMessage     = "notifications/message"
	methodListChanged = "notifications/tools/list_changed"

	maxNotes = 64 // notifications that wait for the call's goroutine; more are dropped
)

type note struct {
	method string
	params json.RawMessage
}

// flight is a call as far as notifications are concerned.
type flight struct {
	token string // empty if none are wanted
	notes chan note
}

func (s *session) takeOff(c tools.Call) *flight {
	f := &flight{}
	if c.Notify == nil {
		return f
	}
	f.token = "deed-progress-" + strconv.FormatInt(s.ids.Add(1), 10)
	f.notes = make(chan note, maxNotes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flights[f.token] = f
	return f
}

func (s *session) land(f *flight) {
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
	case methodProgress:
		token, _ := n.Params.AdditionalFields[metaProgressToken].(string)
		s.deliver(s.flightOf(token), n)
	case methodMessage:
		s.deliver(s.onlyFlight(), n)
	}
}

func (s *session) flightOf(token string) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights[token]
}

// onlyFlight is the call that runs, if only one does: a log message does not say
// which call it is about, and another caller must not read it.
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
	if f == nil {
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
	select {
	case f.notes <- note{n.Method, params}:
	default: // progress is told again, and a caller that does not read must not stop the server's other calls
	}
}
