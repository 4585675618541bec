package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/httpapi"
)

const (
	batchFrames  = 256
	maxInbound   = 1 << 10 // bytes of a data frame from a viewer, who has nothing to say
	maxChatter   = 64      // data frames from a viewer between two of its pongs
	maxSubjects  = 4096    // answers of the policy that a viewer remembers
	farewellWait = 2 * time.Second
)

// ending is why a stream ends, as a close code and its text.
type ending struct {
	code int
	text string
}

// Error is for the flow of control: an ending is how run is left.
func (e *ending) Error() string { return fmt.Sprintf("close %d: %s", e.code, e.text) }

var (
	errTooSlow   = &ending{CloseTooSlow, "too slow: resume from your cursor"}
	errExpired   = &ending{CloseExpired, "token expired: log in again"}
	errRefused   = &ending{CloseExpired, "token not accepted any more: log in again"}
	errBadCursor = &ending{CloseBadCursor, "bad cursor: it is not one of this log"}
	errRevoked   = &ending{CloseExpired, "access revoked"}
	errShutdown  = &ending{websocket.CloseGoingAway, "going away: resume from your cursor"}
	errTrouble   = &ending{websocket.CloseInternalServerErr, "the log cannot be read now: resume from your cursor"}
)

// viewer is one connection. All but its reader is one goroutine, the one that calls run.
type viewer struct {
	hub  *Hub
	ws   *websocket.Conn
	conn *gathering
	req  *http.Request
	id   *agents.Identity

	ctx  context.Context //nolint:containedctx // ends with the connection or the hub
	stop context.CancelFunc

	together bool                    // records that come together are sent as one message
	revoked  <-chan struct{}         // closed when revocations have changed
	may      map[broker.Subject]bool // what the policy said in this epoch
	epoch    any
	nextPing time.Time
	at       audit.Cursor // after the last record that was sent or withheld
	told     audit.Cursor // the last cursor that the viewer was sent
	toldAt   time.Time
}

func newViewer(h *Hub, ws *websocket.Conn, conn *gathering, r *http.Request, id *agents.Identity) *viewer {
	v := &viewer{hub: h, ws: ws, conn: conn, req: r, id: id, nextPing: time.Now().Add(h.cfg.Limits.PingEvery)}
	v.ctx, v.stop = context.WithCancel(h.live)
	v.forget()
	v.watch()
	return v
}

// run streams until the end, says goodbye, and waits for the reader. It returns the close code.
func (v *viewer) run() int {
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.listen()
		v.stop()
	}()
	hurried := context.AfterFunc(v.hub.live, func() { v.conn.hurry(farewellWait) })
	defer hurried()
	end := v.stream()
	if errors.Is(end, errTooSlow) {
		v.hub.metrics.tooSlow()
	}
	code := v.farewell(end, done)
	v.stop()
	<-done
	return code
}

// listen answers control frames, and ends with the connection.
func (v *viewer) listen() {
	chatter := 0
	patience := 3 * v.hub.cfg.Limits.PingEvery
	v.ws.SetReadLimit(maxInbound)
	extend := func(string) error {
		chatter = 0
		return v.ws.SetReadDeadline(time.Now().Add(patience))
	}
	v.ws.SetPongHandler(extend)
	for err := extend(""); err == nil; {
		if _, _, err = v.ws.ReadMessage(); err == nil {
			if chatter++; chatter > maxChatter {
				return
			}
		}
	}
}

// farewell closes the connection, with the code of the ending if it is known.
func (v *viewer) farewell(end error, done <-chan struct{}) int {
	defer v.ws.Close() //nolint:errcheck // nobody is left to tell
	why, ok := errors.AsType[*ending](end)
	if !ok {
		if v.hub.live.Err() == nil {
			return websocket.CloseNoStatusReceived // the viewer left, or its connection is stuck
		}
		why = errShutdown
	}
	if v.conn.release() != nil {
		return why.code
	}
	deadline := time.Now().Add(farewellWait)
	if v.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(why.code, why.text), deadline) != nil {
		return why.code
	}
	t := time.NewTimer(farewellWait)
	defer t.Stop()
	select { // until the viewer has answered, so that it reads what was sent
	case <-done:
	case <-t.C:
	}
	return why.code
}

// stream sends what there is until something ends it.
func (v *viewer) stream() error {
	from, live, err := startOf(v.req.URL.RawQuery)
	if err != nil {
		return errBadCursor
	}
	n, end := v.hub.tail.end()
	if live {
		from = end
	}
	v.at, v.told, v.toldAt = from, from, time.Now()
	hello := struct {
		Type   string         `json:"type"`
		Viewer httpapi.WhoAmI `json:"viewer"`
		Cursor string         `json:"cursor"`
		Live   bool           `json:"live"`
		Status *Status        `json:"status,omitempty"`
	}{"hello", httpapi.WhoIs(v.id), named(from), live, v.status()}
	if err := v.sendJSON(hello); err != nil {
		return err
	}
	if live {
		err = v.sendCursor("caught_up")
	} else {
		n, err = v.catchUp()
	}
	if err != nil {
		return err
	}
	return v.follow(n)
}

// follow sends what comes after record n of the tail.
func (v *viewer) follow(n uint64) error {
	batch := make([]*frame, 0, batchFrames)
	for {
		bell := v.hub.tail.wait()
		var ok bool
		var err error
		if batch, ok = v.hub.tail.after(n, v.together, batch[:0]); !ok {
			return errTooSlow
		}
		if len(batch) == 0 {
			if err := v.idle(bell); err != nil {
				return err
			}
			continue
		}
		if v.together {
			err = v.showAll(n, batch)
		} else {
			err = v.showEach(batch)
		}
		if n += uint64(len(batch)); err == nil {
			err = v.tend()
		}
		clear(batch)
		if err != nil {
			return err
		}
	}
}

// showEach sends frames one by one, gathered.
func (v *viewer) showEach(frames []*frame) error {
	v.conn.hold()
	for _, f := range frames {
		if err := v.show(f); err != nil {
			return err
		}
	}
	return v.conn.release()
}

// idle waits for more, or until there is something to tend to.
func (v *viewer) idle(bell <-chan struct{}) error {
	due := v.nextPing
	if v.id.Expires.Before(due) {
		due = v.id.Expires
	}
	if next := v.toldAt.Add(v.hub.cfg.Limits.CursorEvery); v.told != v.at && next.Before(due) {
		due = next
	}
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-bell:
	case <-t.C:
	case <-v.revoked:
	case <-v.ctx.Done():
	}
	return v.tend()
}

// show sends a record, if the viewer may read it.
func (v *viewer) show(f *frame) error {
	v.at = f.next
	s, ok := v.hub.subject(v.ctx, f)
	if v.ctx.Err() != nil {
		return v.ctx.Err()
	}
	if !ok || !v.mayRead(s) {
		return nil
	}
	if err := v.ws.WritePreparedMessage(f.message); err != nil {
		return fmt.Errorf("send record: %w", err)
	}
	v.told, v.toldAt = f.next, time.Now()
	return nil
}

// mayRead asks the policy, once for each subject while the policies stay the same.
func (v *viewer) mayRead(s broker.Subject) bool {
	if epoch := v.hub.cfg.Epoch(); epoch != v.epoch || len(v.may) >= maxSubjects {
		v.forget()
		v.epoch = epoch
	}
	may, known := v.may[s]
	if !known {
		may = v.hub.cfg.Policy.MayRead(v.id, s)
		v.may[s] = may
	}
	return may
}

// forget makes the policy be asked again: answers can depend on the time too.
func (v *viewer) forget() { v.may = map[broker.Subject]bool{} }

// tend does what time asks for: it ends what has expired, pings, checks the
// credentials again, and says how far the viewer is.
func (v *viewer) tend() error {
	now := time.Now()
	switch {
	case v.ctx.Err() != nil:
		return v.ctx.Err()
	case !now.Before(v.id.Expires):
		return errExpired
	case v.stopped():
		return errRevoked
	}
	if !now.Before(v.nextPing) {
		v.nextPing = now.Add(v.hub.cfg.Limits.PingEvery)
		v.forget()
		if err := v.recheck(); err != nil {
			return err
		}
		if err := v.ws.WriteControl(websocket.PingMessage, nil, now.Add(v.hub.cfg.Limits.WriteWait)); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		if err := v.sendStatus(); err != nil {
			return err
		}
	}
	if v.told != v.at && now.Sub(v.toldAt) >= v.hub.cfg.Limits.CursorEvery {
		return v.sendCursor("cursor")
	}
	return nil
}

// watch makes idle wake when revocations change.
func (v *viewer) watch() {
	if r := v.hub.cfg.Revocations; r != nil {
		v.revoked = r.Changed()
	}
}

// stopped reports whether the viewer has been revoked.
func (v *viewer) stopped() bool {
	r := v.hub.cfg.Revocations
	if r == nil {
		return false
	}
	select {
	case <-v.revoked:
		v.watch()
	default:
	}
	return r.Denied(v.id) != nil
}

// recheck ends the stream of a viewer whose token or session has been withdrawn.
func (v *viewer) recheck() error {
	ctx, cancel := context.WithTimeout(v.ctx, v.hub.cfg.Limits.WriteWait)
	defer cancel()
	err := v.hub.cfg.Auth.Recheck(ctx, v.req)
	if r, ok := errors.AsType[*agents.Rejection](err); ok && r.Kind != agents.ProviderTrouble {
		return errRefused
	}
	if err != nil {
		v.hub.cfg.Logger.LogAttrs(v.ctx, slog.LevelWarn, "viewer's credentials cannot be checked again", slog.Any("error", err))
	}
	return nil
}

// status is how the replica is, if it tells.
func (v *viewer) status() *Status {
	if v.hub.cfg.Status == nil {
		return nil
	}
	return new(v.hub.cfg.Status(v.ctx))
}

func (v *viewer) sendStatus() error {
	s := v.status()
	if s == nil {
		return nil
	}
	return v.sendJSON(struct {
		Type   string  `json:"type"`
		Status *Status `json:"status"`
	}{"status", s})
}

// sendCursor tells the viewer where it is.
func (v *viewer) sendCursor(kind string) error {
	v.told, v.toldAt = v.at, time.Now()
	return v.sendJSON(struct {
		Type   string `json:"type"`
		Cursor string `json:"cursor"`
	}{kind, named(v.at)})
}

func (v *viewer) sendJSON(message any) error {
	b, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if err := v.ws.WriteMessage(websocket.TextMessage, b); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	return nil
}
