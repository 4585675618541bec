package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// A task outlives the connection, and the broker's process, where its server is a process of its own:
// over HTTP. Servers of the old revisions, as a rule, show a task to the session alone that it was made
// in: whoever holds its handle goes on in that, and in another one if the server has ended it. A server over
// stdio has died with the connection, and another process may use the same ids.

// maxSkew is how far apart what a server says of the time when it made a task may be, for it to be that task.
const maxSkew = time.Second

var errUnreachable = errors.New("it cannot be asked about the task that it made of the call")

// handle finds a task again.
type handle struct {
	ID     string `json:"id"`
	Made   string `json:"made,omitempty"` // as its server says
	Server string `json:"server"`         // the digest of its URL

	// In the revisions with sessions:
	Session string `json:"session,omitempty"`
	Version string `json:"version,omitempty"`
}

// severedError says that the connection was lost while a server works on a call as a task.
type severedError struct{ task handle }

// Error implements error.
func (e *severedError) Error() string { return errUnreachable.Error() }

// Unwrap says that the outcome is uncertain.
func (e *severedError) Unwrap() error { return tools.ErrUncertain }

func placeOf(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:])
}

// lasts tells whoever wants to know how a task is found again, if it can be.
func (s *session) lasts(c tools.Call, t task) handle {
	h := handle{ID: t.ID, Made: t.Created, Server: s.place}
	if s.id != nil && legacyRevision(s.version) {
		h.Session, h.Version = s.id(), s.version
	}
	if s.place == "" || c.Began == nil {
		return h
	}
	if raw, err := json.Marshal(h); err == nil { // of strings, it always encodes
		c.Began(raw)
	}
	return h
}

// isAnother reports whether a server gave the id of a task to another one.
func isAnother(made, now string) bool {
	if made == "" || now == "" || made == now {
		return false
	}
	a, err := time.Parse(time.RFC3339, made)
	b, wrong := time.Parse(time.RFC3339, now)
	return err != nil || wrong != nil || a.Sub(b).Abs() > maxSkew
}

// Follow implements [tools.Follower].
func (s *Server) Follow(ctx context.Context, c tools.Call, raw json.RawMessage) (tools.Answer, error) {
	var h handle
	if err := json.Unmarshal(raw, &h); err != nil || h.ID == "" {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, errNoTask)
	}
	if s.place == "" || h.Server != s.place {
		return tools.Answer{}, fmt.Errorf("%w: it is not the server that made a task of the call", tools.ErrUncertain)
	}
	c.Method = tools.MethodCall
	a, err := s.resume(ctx, c, h, nil)
	if now, lost := s.session(); lost != nil && ctx.Err() != nil && !detached(ctx) {
		s.withdraw(ctx, c, h, now)
	}
	return a, err
}

// resume follows a task in the sessions after last, until it has ended.
func (s *Server) resume(ctx context.Context, c tools.Call, h handle, last *session) (tools.Answer, error) {
	for {
		now, err := s.after(ctx, last)
		if err != nil {
			return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
		}
		a, err := s.within(ctx, c, &h, now)
		if _, lost := errors.AsType[*severedError](err); !lost {
			return a, err
		}
		if last = now; now.cause() == nil { // it was the session of old that was lost
			last = nil
			_ = now.patient(ctx, 0, nil, usualPoll) // the end of ctx is looked at next
		}
	}
}

// within follows a task in the session that it was made in, as long as its server knows that, else in the one of now.
func (s *Server) within(ctx context.Context, c tools.Call, h *handle, now *session) (tools.Answer, error) {
	if h.Session == "" || h.Session == now.id() {
		return now.resume(ctx, c, *h)
	}
	old, err := s.reenter(ctx, *h)
	if err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	}
	old.tasks = now.tasks
	a, err := old.resume(ctx, c, *h)
	old.close(context.WithoutCancel(ctx)) // it may still have to say that the task is cancelled
	if _, lost := errors.AsType[*severedError](err); lost && errors.Is(old.cause(), errTerminated) {
		h.Session = ""
		return now.resume(ctx, c, *h)
	}
	return a, err
}

// reenterHTTP goes on in a session of an earlier connection, which stays: others may be in it too.
func reenterHTTP(ctx context.Context, c HTTPConfig, u *url.URL, h handle) (*session, error) {
	s, t, err := c.dial(u, transport.WithSession(h.Session))
	if err != nil {
		return nil, err
	}
	s.stays.Store(true)
	s.version, s.drain = h.Version, cancelTimeout
	t.SetProtocolVersion(h.Version)
	s.client = client.NewClient(t)
	if err := s.client.Start(ctx); err != nil {
		s.close(ctx)
		return nil, fmt.Errorf("connect: %w", plain(err))
	}
	t.SetRequestHandler(s.asked)
	return s, nil
}

// withdraw cancels a task whose call has ended while its server was away, if that comes back soon.
func (s *Server) withdraw(ctx context.Context, c tools.Call, h handle, last *session) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	now, err := s.after(ctx, last)
	if err != nil || now.begin() != nil {
		return
	}
	defer now.end()
	now.cancelTask(ctx, c, h.ID)
}

// after waits for a session that is not last.
func (s *Server) after(ctx context.Context, last *session) (*session, error) {
	for {
		s.mu.Lock()
		now, connected := s.current, s.connected
		s.mu.Unlock()
		if now != nil && now != last {
			return now, nil
		}
		select {
		case <-connected:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// resume follows a task that was made in another session.
func (s *session) resume(ctx context.Context, c tools.Call, h handle) (tools.Answer, error) {
	if s.begin() != nil {
		return tools.Answer{}, &severedError{h}
	}
	defer s.end()
	ctx, f := s.takeOff(ctx, c)
	defer s.land(f)
	f.elsewhere, c.Began = true, nil
	soon := shortestPoll.Milliseconds()
	return s.follow(ctx, c, f, task{ID: h.ID, Created: h.Made, Interval: &soon})
}

func detached(ctx context.Context) bool { return errors.Is(context.Cause(ctx), tools.ErrDetached) }

// anothers is the refusal of a server that has forgotten a task, and given its id to another.
func anothers() error {
	return &tools.RPCError{Code: mcp.INVALID_PARAMS, Message: "another task has its id"}
}
