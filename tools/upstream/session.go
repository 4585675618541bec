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
	place  string        // the digest of the server's URL, where its tasks can outlive the session
	id     func() string // that it has at the server; nil if there are none

	keyHeaders map[string]string  // that take an idempotency key, by tool
	self       mcp.Implementation // what the broker calls itself
	version    string             // the negotiated protocol revision
	drain      time.Duration      // how long the calls that run may go on after the loss
	release    func()             // ends what the connection stands on

	ids  atomic.Int64
	work sync.WaitGroup // calls, and what they leave behind

	tools    atomic.Pointer[map[string]*mcp.Tool] // those whose arguments go into headers too
	features tools.Features
	tasks    *mcp.TasksCapability               // of the server, in revision 2025-11-25; nil if it has none
	filter   mcp.SubscriptionFilter             // of changes that the server tells of
	notice   atomic.Pointer[func(tools.Notice)] // nil while nobody is to be told

	mu      sync.Mutex
	flights map[string]*flight // calls, by progress token; guarded by mu
	running int                // calls; guarded by mu
	closed  bool               // guarded by mu
	stays   atomic.Bool        // a task in it goes on: the server is not told of its end
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
		params, err := s.callParams(ctx, c, f, t)
		if err != nil {
			return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
		}
		said, err := s.send(ctx, c, f, params)
		switch {
		case err != nil:
			return tools.Answer{}, err
		case said.task != nil:
			return s.follow(ctx, c, f, *said.task)
		case said.asked == nil:
			return said.answer, nil
		}
		if t, err = s.next(ctx, c, *said.asked); err != nil {
			return tools.Answer{}, err
		}
	}
	return tools.Answer{}, fmt.Errorf("%w: it asks on and on", tools.ErrUnanswered)
}

// said is what a server answered: its result, or questions, or that it works on the call as a task.
type said struct {
	answer tools.Answer
	asked  *asked
	task   *task
}

// send sends a call once.
func (s *session) send(ctx context.Context, c tools.Call, f *flight, params json.RawMessage) (said, error) {
	request := s.request(mcp.MCPMethod(c.Method), params)
	if c.Method == tools.MethodCall {
		maps.Copy(request.Header, s.paramHeaders(c.Tool, params))
		s.addKey(request.Header, c)
	}
	asTask := s.asTask(c)
	result, err := s.exchange(ctx, c, f, request, asTask)
	if err != nil {
		return said{}, err
	}
	head, err := headOf(result)
	modern := mcp.IsModernProtocol(s.version)
	switch {
	case err != nil:
		return said{}, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	case head.questions() && modern:
		return said{asked: &head.asked}, nil
	case modern && head.ResultType == resultTask:
		return made(result)
	case asTask && head.Task != nil:
		return made(head.Task)
	default:
		return said{answer: tools.Answer{Raw: result, IsError: head.IsError}}, nil
	}
}

// exchange sends a request on behalf of a call and waits for its result. If the call ends
// before, the server is told; a task that it makes nevertheless is cancelled.
func (s *session) exchange(ctx context.Context, c tools.Call, f *flight, request transport.JSONRPCRequest, makesTask bool) (json.RawMessage, error) {
	sending := ctx
	if makesTask { // its answer is needed to cancel it
		sending = context.WithoutCancel(ctx)
	}
	sending, stop := context.WithCancel(sending)
	traced, sent := traced(credentials.With(sending, c.Subject, c.Used), s.http)
	done := make(chan outcome, 1)
	s.work.Go(func() {
		response, err := s.client.GetTransport().SendRequest(traced, request)
		done <- outcome{response, err}
	})
	for {
		select {
		case n := <-f.notes:
			c.Notify(n.method, n.params)
		case o := <-done:
			defer stop()
			f.drain(c.Notify)
			return s.result(ctx, request, o, sent)
		case <-ctx.Done():
			select {
			case o := <-done: // it came just in time
				defer stop()
				return s.result(ctx, request, o, sent)
			default:
			}
			if makesTask {
				s.disown(ctx, c, done, stop)
			} else {
				s.cancel(ctx, request)
				stop()
			}
			return nil, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
		}
	}
}

// result tells what the outcome of a request means.
func (s *session) result(ctx context.Context, request transport.JSONRPCRequest, o outcome, sent *atomic.Bool) (json.RawMessage, error) {
	if o.err != nil {
		if ctx.Err() != nil {
			s.cancel(ctx, request)
			return nil, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
		}
		return nil, s.failure(o.err, sent.Load())
	}
	if err := matches(request, o.response); err != nil {
		return nil, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	}
	if o.response.Error != nil {
		return nil, refusal(o.response.Error)
	}
	return o.response.Result, nil
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
