package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
)

const cancelTimeout = 5 * time.Second

// session is one connection to a server, from its handshake to its loss.
type session struct {
	client *client.Client
	link   *link // to the server, for what mcp-go does not send
	http   bool

	keyHeaders map[string]string  // that take an idempotency key, by tool
	self       mcp.Implementation // what the broker calls itself
	version    string             // the negotiated protocol revision
	drain      time.Duration      // how long the calls that run may go on after the loss
	release    func()             // ends what the connection stands on

	ids  atomic.Int64
	work sync.WaitGroup // calls, and what they leave behind

	tools    atomic.Pointer[map[string]*mcp.Tool] // those whose arguments go into headers too
	features tools.Features
	filter   mcp.SubscriptionFilter             // of changes that the server tells of
	notice   atomic.Pointer[func(tools.Notice)] // nil while nobody is to be told

	mu      sync.Mutex
	flights map[string]*flight // calls, by progress token; guarded by mu
	running int                // calls; guarded by mu
	closed  bool               // guarded by mu
	gone    chan struct{}      // closed when the connection is lost
	watched map[string]func()  // subscribed resources, and what ends each; guarded by mu
	reason  error              // why; guarded by mu
}

func newSession() *session {
	return &session{self: implementation(), flights: map[string]*flight{}, watched: map[string]func(){}, gone: make(chan struct{})}
}

// lose marks the connection as lost; the first reason counts.
func (s *session) lose(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == nil {
		s.reason = reason
		close(s.gone)
	}
}

func (s *session) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

// begin counts a call in, unless the session has been closed.
func (s *session) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.reason != nil {
		return fmt.Errorf("%w: %w", tools.ErrNotSent, errors.Join(s.reason, errLost))
	}
	s.running++
	s.work.Add(1)
	return nil
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.work.Done()
}

// close takes no more calls, lets those that run go on for a while if they can
// still be answered, and releases everything.
func (s *session) close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.unwatchAll()
	s.mu.Unlock()
	if s.drain > 0 && ctx.Err() == nil {
		s.await(ctx, s.drain)
	}
	s.release()
	s.work.Wait()
}

// await waits until no call runs, but not longer than limit.
func (s *session) await(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	idle := make(chan struct{})
	go func() { // ends at the latest when release has ended the calls
		s.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// outcome is what came of a request.
type outcome struct {
	response *transport.JSONRPCResponse
	err      error
}

// call runs a tool. Whatever the server does, it returns once ctx is done.
func (s *session) call(ctx context.Context, c tools.Call) (tools.Answer, error) {
	if err := s.begin(); err != nil {
		return tools.Answer{}, err
	}
	defer s.end()
	ctx, f := s.takeOff(ctx, c)
	defer s.land(f)
	t := turn{answers: c.Answers}
	for range maxTurns {
		params, err := s.callParams(c, f, t)
		if err != nil {
			return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
		}
		answer, asked, err := s.send(ctx, c, f, params)
		if err != nil || asked == nil {
			return answer, err
		}
		if t, err = s.next(ctx, c, *asked); err != nil {
			return tools.Answer{}, err
		}
	}
	return tools.Answer{}, fmt.Errorf("%w: it asks on and on", tools.ErrUnanswered)
}

// send sends a call once. The server's answer may be questions.
func (s *session) send(ctx context.Context, c tools.Call, f *flight, params json.RawMessage) (tools.Answer, *asked, error) {
	ctx, sent := traced(credentials.With(ctx, c.Subject, c.Used), s.http)
	request := s.request(mcp.MCPMethod(c.Method), params)
	if c.Method == tools.MethodCall {
		maps.Copy(request.Header, s.paramHeaders(c.Tool, params))
		s.addKey(request.Header, c)
	}
	done := make(chan outcome, 1)
	s.work.Go(func() {
		response, err := s.client.GetTransport().SendRequest(ctx, request)
		done <- outcome{response, err}
	})
	for {
		select {
		case n := <-f.notes:
			c.Notify(n.method, n.params)
		case o := <-done:
			f.drain(c.Notify)
			return s.answer(ctx, request, o, sent)
		case <-ctx.Done():
			select {
			case o := <-done: // it came just in time
				return s.answer(ctx, request, o, sent)
			default:
			}
			s.cancel(ctx, request)
			return tools.Answer{}, nil, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
		}
	}
}

// answer tells what the outcome of a call means.
func (s *session) answer(ctx context.Context, request transport.JSONRPCRequest, o outcome, sent *atomic.Bool) (tools.Answer, *asked, error) {
	if o.err != nil {
		if ctx.Err() != nil {
			s.cancel(ctx, request)
			return tools.Answer{}, nil, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
		}
		return tools.Answer{}, nil, s.failure(o.err, sent.Load())
	}
	if err := matches(request, o.response); err != nil {
		return tools.Answer{}, nil, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	}
	if o.response.Error != nil {
		return tools.Answer{}, nil, refusal(o.response.Error)
	}
	head, err := headOf(o.response.Result)
	switch {
	case err != nil:
		return tools.Answer{}, nil, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	case head.questions() && mcp.IsModernProtocol(s.version):
		return tools.Answer{}, &head.asked, nil
	default:
		return tools.Answer{Raw: o.response.Result, IsError: head.IsError}, nil, nil
	}
}

// cancel tells the server that a request is no longer waited for. Over HTTP in
// the revisions since 2026-07-28 the end of the request's stream says so.
func (s *session) cancel(ctx context.Context, request transport.JSONRPCRequest) {
	if s.http && mcp.IsModernProtocol(s.version) {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	s.work.Go(func() {
		defer stop()
		// Best effort: the outcome is uncertain whether the server hears of it or not.
		_ = s.client.GetTransport().SendNotification(ctx, mcp.JSONRPCNotification{
			JSONRPC: mcp.JSONRPC_VERSION,
			Notification: mcp.Notification{
				Method: string(mcp.MethodNotificationCancelled),
				Params: mcp.NotificationParams{AdditionalFields: map[string]any{"requestId": request.ID, "reason": "the call has ended"}},
			},
		})
	})
}

// request is a JSON-RPC request with the headers that the revision asks for.
func (s *session) request(method mcp.MCPMethod, params json.RawMessage) transport.JSONRPCRequest {
	header := http.Header{}
	if s.http {
		for name, value := range mcp.StandardHeaders(s.version, method, params) {
			header.Set(name, value)
		}
	}
	return transport.JSONRPCRequest{
		JSONRPC: mcp.JSONRPC_VERSION,
		ID:      mcp.NewRequestId("deed-" + strconv.FormatInt(s.ids.Add(1), 10)),
		Method:  string(method),
		Params:  params,
		Header:  header,
	}
}

// addKey puts a call's idempotency key where its tool has a header for it.
func (s *session) addKey(header http.Header, c tools.Call) {
	name, own := s.keyHeaders[c.Tool]
	if !own {
		name = s.keyHeaders["*"]
	}
	if name != "" && c.IdempotencyKey != "" {
		header.Set(name, c.IdempotencyKey)
	}
}

// paramHeaders are the Mcp-Param-* headers of a call (MCP 2026-07-28, SEP-2243).
func (s *session) paramHeaders(tool string, params json.RawMessage) http.Header {
	known := s.tools.Load()
	if known == nil || (*known)[tool] == nil {
		return nil
	}
	header := http.Header{}
	for name, value := range mcp.GenerateParamHeaders((*known)[tool], params) {
		header.Set(name, value)
	}
	return header
}
