package mcpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/tools"
)

// transportHeaders are all that mcp-go sees of a request's headers, and none may be repeated.
var transportHeaders = []string{
	"Content-Type", mcp.HeaderProtocolVersion, mcp.HeaderSessionID, mcp.HeaderMethod, mcp.HeaderName, mcp.HeaderLastEventID,
}

// post serves one JSON-RPC message.
func (h *Handler) post(w http.ResponseWriter, r *http.Request, in *inbound) {
	body, ok := h.body(w, r)
	if !ok {
		return
	}
	m, err := decodeMessage(body)
	if err == nil {
		err = checkStated(r.Header, m)
	}
	if err != nil {
		h.refuse(w, http.StatusBadRequest, m, asFault(err))
		return
	}
	var s *session
	modern := isModern(r.Header, m)
	if !modern {
		if s, ok = h.legacySession(w, r, in, m); !ok {
			return
		}
	}
	h.dispatch(&invocation{w: w, r: r, in: in, m: m, s: s, method: m.method}, modern)
}

// dispatch answers a message, or has mcp-go answer it.
func (h *Handler) dispatch(v *invocation, modern bool) {
	m, isRequest := v.m, v.m.id != nil
	switch {
	case m.method == "notifications/cancelled":
		// Only a session proves that a request is the sender's own: without
		// one, ids of other clients could be guessed.
		if v.s != nil && m.call.requestID != nil {
			v.s.cancel(string(m.call.requestID))
		}
		v.w.WriteHeader(http.StatusAccepted)
	case m.method == "":
		if v.s != nil {
			v.s.answer(m)
		}
		v.w.WriteHeader(http.StatusAccepted)
	case !isRequest || m.method == string(mcp.MethodInitialize):
		h.forward(v.w, v.r, v.in, m.canonical())
	case m.method == string(mcp.MethodToolsList):
		h.listTools(v, modern)
	case isTaskMethod(m.method):
		h.serveTask(v)
	case m.method == tools.MethodCall:
		h.callTool(v)
	case m.method == tools.MethodReadResource, m.method == tools.MethodGetPrompt, m.method == tools.MethodComplete,
		m.method == tools.MethodSubscribe && !modern:
		h.operate(v)
	case m.method == string(mcp.MethodResourcesUnsubscribe) && !modern:
		h.unsubscribe(v)
	case modern && m.method == string(mcp.MethodSubscriptionsListen):
		h.listen(v)
	default:
		if k, ok := kindOf(m.method); ok {
			h.browse(v, k)
			return
		}
		h.forward(v.w, v.r, v.in, m.canonical())
	}
}

// legacySession finds the session of a request, or opens one for initialize. ok is
// false if the request has been answered; s is nil for initialize.
func (h *Handler) legacySession(w http.ResponseWriter, r *http.Request, in *inbound, m *message) (s *session, ok bool) {
	if m.method == string(mcp.MethodInitialize) && m.id != nil {
		return nil, h.open(w, r, in, m)
	}
	if version := r.Header.Get(mcp.HeaderProtocolVersion); version != "" && !mcp.IsValidProtocolVersion(version) {
		h.refuse(w, http.StatusBadRequest, m, invalidRequest("this protocol version is not supported"))
		return nil, false
	}
	in.session = r.Header.Get(mcp.HeaderSessionID)
	if in.session == "" {
		h.refuse(w, http.StatusBadRequest, m, invalidRequest("a session is required: send initialize first, and its "+mcp.HeaderSessionID+" with every request"))
		return nil, false
	}
	if s = h.session(r.Context(), in); s == nil {
		h.refuse(w, http.StatusNotFound, m, invalidRequest("there is no such session: send initialize again"))
		return nil, false
	}
	return s, true
}

// session is the one that a request names; nil if there is none, or if it is another's.
func (h *Handler) session(ctx context.Context, in *inbound) *session {
	s, foreign := h.sessions.use(in.session, in.identity.Key(), in.upstream)
	if foreign {
		h.cfg.Reject(context.WithoutCancel(ctx), agents.Foreign(in.identity))
	}
	return s
}

func (h *Handler) open(w http.ResponseWriter, r *http.Request, in *inbound, m *message) bool {
	n := &session{
		identity: in.identity.Key(), opener: in.identity, upstream: in.upstream,
		client: m.call.client.String(), protocol: mcp.NegotiateLegacyVersion(m.call.version),
		can: append([]byte(nil), m.call.capabilities...), in: in,
	}
	ended, ok := h.sessions.open(n)
	for _, id := range ended {
		h.forget(r.Context(), id)
	}
	if !ok {
		w.Header().Set("Retry-After", "60")
		problem(w, http.StatusServiceUnavailable, "overloaded", "too many sessions are open")
		return false
	}
	in.session = n.id
	return true
}

// forget makes mcp-go drop what it keeps for a session that has ended.
func (h *Handler) forget(ctx context.Context, id string) {
	header := http.Header{mcp.HeaderSessionID: {id}}
	h.transport.Handle(nowhere{http.Header{}}, &server.HTTPRequest{Method: http.MethodDelete, Header: header, Context: context.WithoutCancel(ctx)})
}

// sessionRequest serves GET, a session's stream of notifications, and DELETE.
func (h *Handler) sessionRequest(w http.ResponseWriter, r *http.Request, in *inbound) {
	if !mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)) {
		in.session = r.Header.Get(mcp.HeaderSessionID)
		if in.session == "" {
			problem(w, http.StatusBadRequest, "invalid", "the header "+mcp.HeaderSessionID+" is required")
			return
		}
		if h.session(r.Context(), in) == nil {
			problem(w, http.StatusNotFound, "not_found", "there is no such session: send initialize again")
			return
		}
	}
	if r.Method == http.MethodGet && in.session != "" {
		h.hear(w, r, in)
		return
	}
	h.forward(w, r, in, nil)
}

// forward lets mcp-go serve a request that was checked here.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, in *inbound, body []byte) {
	header := make(http.Header, len(transportHeaders))
	for _, name := range transportHeaders {
		if v, ok := r.Header[name]; ok {
			header[name] = v
		}
	}
	out := newTimedWriter(w, h.cfg.Limits.WriteTimeout)
	defer out.release()
	h.transport.Handle(out, &server.HTTPRequest{
		Method: r.Method, URL: r.URL, Header: header, Body: body,
		Context: context.WithValue(r.Context(), inboundKey{}, in),
	})
}

// body reads a request's body; ok is false if the request has been answered.
func (h *Handler) body(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	if t := r.Header.Get("Content-Type"); t != "application/json" {
		if mediaType, _, err := mime.ParseMediaType(t); err != nil || mediaType != "application/json" {
			problem(w, http.StatusUnsupportedMediaType, "invalid", "the content type must be application/json")
			return nil, false
		}
	}
	limit := h.cfg.Limits.MaxBytes
	if r.ContentLength > limit {
		problem(w, http.StatusRequestEntityTooLarge, "invalid", "the body is too large")
		return nil, false
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(h.cfg.Limits.ReadTimeout)) // a writer without deadlines has none to miss
	reader := http.MaxBytesReader(w, r.Body, limit)
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(reader, body)
	} else {
		body, err = io.ReadAll(reader)
	}
	_ = control.SetReadDeadline(time.Time{}) // as above
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		problem(w, http.StatusRequestEntityTooLarge, "invalid", "the body is too large")
		return nil, false
	}
	if err != nil {
		problem(w, http.StatusBadRequest, "invalid", "the body could not be read in full")
		return nil, false
	}
	return body, true
}

// timedWriter writes answers with a deadline for each piece, so that a client
// that does not read holds nothing up for long.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func newTimedWriter(w http.ResponseWriter, timeout time.Duration) *timedWriter {
	return &timedWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: timeout}
}

// CanStream says that answers may become streams of events.
func (t *timedWriter) CanStream() bool { return true }

func (t *timedWriter) Write(p []byte) (int, error) {
	t.arm()
	return t.ResponseWriter.Write(p)
}

// Flush sends what was written.
func (t *timedWriter) Flush() {
	t.arm()
	_ = t.control.Flush() // the next write fails too, and says so
}

func (t *timedWriter) arm() {
	_ = t.control.SetWriteDeadline(time.Now().Add(t.timeout)) // a writer without deadlines has none to miss
}

// release sends what is left and lifts the deadline, which would otherwise hold for the connection's next request.
func (t *timedWriter) release() {
	t.Flush()
	_ = t.control.SetWriteDeadline(time.Time{}) // as above
}

// nowhere is where answers go that nobody waits for.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) Flush()                      {}
func (n nowhere) CanStream() bool             { return false }
