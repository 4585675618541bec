package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
)

// Defaults of the configurations.
const (
	DefaultMaxAnswer = 8 << 20          // bytes
	DefaultRefresh   = 5 * time.Minute  // between listings of an HTTP server's tools
	stdioStart       = 60 * time.Second // to start a process and shake hands: it may have to be installed first
	httpStart        = 15 * time.Second
	drainTimeout     = 5 * time.Second // for the calls of a lost HTTP session
)

var errStarting = errors.New("not connected yet")

// Server is an MCP server as an upstream. It takes calls while Run runs; a Run that
// returned can be followed by another.
type Server struct {
	connect func(ctx context.Context, changed func()) (*session, error)
	refresh time.Duration                                         // 0: never
	place   string                                                // the digest of its URL, where its tasks can outlive a session
	reenter func(ctx context.Context, h handle) (*session, error) // goes on in the session that a task was made in; set with place
	await   func(context.Context) error                           // until a person may have consented; nil: nobody ever has to

	mu        sync.Mutex
	current   *session           // guarded by mu; nil while there is none
	connected chan struct{}      // guarded by mu; closed and replaced when there is another
	trouble   error              // guarded by mu; why there is none
	watched   map[string]bool    // guarded by mu; resources that somebody is subscribed to
	notice    func(tools.Notice) // set before Run; may be nil
}

var _ tools.Follower = (*Server)(nil)

func newServer(refresh time.Duration) *Server {
	return &Server{refresh: refresh, trouble: errStarting, watched: map[string]bool{}, connected: make(chan struct{})}
}

// Definitions implements [tools.Upstream]: it asks the server, following its pages.
func (s *Server) Definitions(ctx context.Context) ([]json.RawMessage, error) {
	now, err := s.session()
	if err != nil {
		return nil, err
	}
	return now.list(ctx)
}

// Call implements [tools.Upstream].
func (s *Server) Call(ctx context.Context, c tools.Call) (tools.Answer, error) {
	if err := ctx.Err(); err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	now, err := s.session()
	if err != nil {
		return tools.Answer{}, err
	}
	if c.Method == "" {
		c.Method = tools.MethodCall
	}
	if c.Method == tools.MethodSubscribe {
		return s.subscribe(ctx, now, c)
	}
	a, err := now.call(ctx, c)
	if cut, lost := errors.AsType[*severedError](err); lost {
		return s.resume(ctx, c, cut.task, now)
	}
	return a, err
}

// Health implements [tools.Upstream].
func (s *Server) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// Run implements [tools.Upstream]: it connects, and returns once the connection is
// lost. The process, or the session, has ended by then. Where a person has to consent before,
// it waits for that.
func (s *Server) Run(ctx context.Context, changed func()) error {
	now, err := s.connect(ctx, changed)
	for s.await != nil && needsConsent(err) {
		s.set(nil, err)
		changed()
		if err := s.await(ctx); err != nil {
			return err
		}
		now, err = s.connect(ctx, changed)
	}
	if err != nil {
		s.set(nil, err)
		changed()
		return err
	}
	if s.notice != nil {
		now.notice.Store(&s.notice)
	}
	s.set(now, nil)
	changed()
	s.renew(ctx, now)
	err = s.watch(ctx, now, changed)
	s.set(nil, err)
	changed()
	now.close(ctx)
	return err
}

// watch waits until the session is lost or ctx is done, signalling now and then that
// definitions may have changed, since not every server says so.
func (s *Server) watch(ctx context.Context, now *session, changed func()) error {
	var due <-chan time.Time
	if s.refresh > 0 {
		ticker := time.NewTicker(s.refresh)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-due:
			changed()
		case <-now.gone:
			return now.cause()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func needsConsent(err error) bool {
	_, needs := errors.AsType[*credentials.ConsentError](err)
	return needs
}

func (s *Server) set(now *session, trouble error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.trouble = now, trouble
	if now != nil {
		close(s.connected)
		s.connected = make(chan struct{})
	}
}

func (s *Server) session() (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil, fmt.Errorf("%w: %w", tools.ErrNotSent, s.trouble)
	}
	return s.current, nil
}

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
