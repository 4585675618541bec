package live

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

// Close codes of the stream, beside those of RFC 6455 section 7.4.1.
const (
	CloseTooSlow   = 4000 // resume from your cursor
	CloseExpired   = 4001 // log in again
	CloseBadCursor = 4002 // it is not one of this log
)

// maxCursor bounds a cursor, in bytes.
const maxCursor = 256

// Buffers of a connection: nothing is read but control frames, and what is sent has
// been framed before.
const connBuffer = 512

// ServeHTTP serves GET /v1/stream?cursor=: the records after that cursor, or from the
// live end without one, from the beginning with "start". With batch=1 records that come
// together come in one frame, compressed for whoever can read that. It returns when the
// stream ends.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusUpgradeRequired, Kind: "invalid", Detail: "this is a WebSocket: connect with an upgrade"})
		return
	}
	if !h.acceptable(r) {
		h.cfg.Auth.Refuse(r.Context(), &agents.Rejection{Kind: agents.ForeignOrigin})
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusForbidden, Kind: "denied", Detail: "streams are not opened from this origin"})
		return
	}
	id, ok := h.cfg.Auth.Require(w, r)
	if !ok {
		return
	}
	ctx, key := r.Context(), id.Key()
	if err := h.enter(ctx, key); err != nil {
		full(w, err)
		return
	}
	code := websocket.CloseAbnormalClosure
	defer func() { h.leave(ctx, key, code) }()
	if err := h.opened(r, id); err != nil {
		httpapi.WriteProblem(w, httpapi.ProblemOf(err))
		return
	}
	code = h.serve(w, r, id)
}

// opened records what a viewer is about to see: from the beginning, from a cursor, or from now on.
func (h *Hub) opened(r *http.Request, id *agents.Identity) error {
	if h.cfg.Opened == nil {
		return nil
	}
	from := ""
	if cursor, live, err := startOf(r.URL.RawQuery); err == nil && !live {
		from = "cursor"
		if cursor == "" {
			from = "start"
		}
	}
	return h.cfg.Opened(r.Context(), id, from)
}

func full(w http.ResponseWriter, err error) {
	p := httpapi.Problem{Status: http.StatusServiceUnavailable, Kind: "overloaded", Detail: err.Error(), RetryAfter: 5}
	if errors.Is(err, errFullOfID) {
		p.Status = http.StatusTooManyRequests
	}
	httpapi.WriteProblem(w, p)
}

// acceptable reports whether the request comes from the broker's own pages, or
// from no web page at all. What has no token lives by its cookie, which any page
// could make a browser send: it must name its origin.
func (h *Hub) acceptable(r *http.Request) bool {
	origins, named := r.Header["Origin"]
	if !named {
		return r.Header.Get("Authorization") != ""
	}
	if len(origins) != 1 {
		return false
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" {
		return false
	}
	if u.Scheme == h.url.Scheme && strings.EqualFold(u.Host, h.url.Host) {
		return true
	}
	secure := r.TLS != nil
	return strings.EqualFold(u.Host, r.Host) && (u.Scheme == "https") == secure
}

// startOf reads where a viewer wants to begin; live means at the end.
func startOf(query string) (from audit.Cursor, live bool, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", false, errors.New("the query does not parse")
	}
	cursors := values["cursor"]
	switch {
	case len(cursors) == 0 || (len(cursors) == 1 && cursors[0] == ""):
		return "", true, nil
	case len(cursors) > 1 || len(cursors[0]) > maxCursor:
		return "", false, errors.New("the cursor is not one of this log")
	case cursors[0] == startCursor:
		return "", false, nil
	default:
		return audit.Cursor(cursors[0]), false, nil
	}
}

// serve upgrades the connection and streams until it ends. It returns the close code.
func (h *Hub) serve(w http.ResponseWriter, r *http.Request, id *agents.Identity) int {
	together := r.URL.Query().Get("batch") == "1"
	hj := &hijacker{ResponseWriter: w, writeWait: h.cfg.Limits.WriteWait}
	upgrader := websocket.Upgrader{
		HandshakeTimeout: h.cfg.Limits.WriteWait, ReadBufferSize: connBuffer, WriteBufferSize: connBuffer,
		CheckOrigin: h.acceptable, EnableCompression: together,
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			httpapi.WriteProblem(w, httpapi.Problem{Status: status, Kind: "invalid", Detail: strings.TrimPrefix(reason.Error(), "websocket: ")})
		},
	}
	ws, err := upgrader.Upgrade(hj, r, nil)
	if err != nil {
		h.cfg.Logger.LogAttrs(r.Context(), slog.LevelDebug, "websocket not opened", slog.Any("error", err))
		return websocket.CloseAbnormalClosure
	}
	v := newViewer(h, ws, hj.conn, r, id)
	v.together = together
	return v.run() //nolint:contextcheck // a stream lives until the hub ends, or its reader
}
