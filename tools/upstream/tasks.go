package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// A server may work on a call as a task. In revision 2025-11-25 the broker asks for one wherever a tool
// takes it, and waits on tasks/result, which also brings what the server asks meanwhile. Since
// 2026-07-28 (extension io.modelcontextprotocol/tasks) the server makes one of a call as it likes, and
// the broker comes back by tasks/get. To the caller it is one call: its end is the task's, its questions
// and its cancellation are.

const (
	tasksExtension = "io.modelcontextprotocol/tasks"
	keyRelatedTask = "io.modelcontextprotocol/related-task"
	methodUpdate   = mcp.MCPMethod("tasks/update")
	resultTask     = "task" // of resultType

	maxTaskID    = 1024 // bytes
	maxFailures  = 5    // in a row, of asking about a task
	longestTask  = time.Hour
	taskMargin   = time.Minute // for which a server is asked to keep a task beyond the call's limit
	shortestPoll = 50 * time.Millisecond
	usualPoll    = time.Second
	longestPoll  = 30 * time.Second
)

var errNoTask = errors.New("it made a task without a usable id")

// task is what a server says of a task; a part of it is said in one revision only.
type task struct {
	ID         string `json:"taskId"`
	Status     string `json:"status"`
	Message    string `json:"statusMessage"`
	Created    string `json:"createdAt"`
	Interval   *int64 `json:"pollInterval"` // in milliseconds, as the next
	IntervalMs *int64 `json:"pollIntervalMs"`

	// Since 2026-07-28 tasks/get tells these:
	Result    json.RawMessage          `json:"result"`
	Failure   *mcp.JSONRPCErrorDetails `json:"error"`
	Questions json.RawMessage          `json:"inputRequests"`
}

// pause is how long a server wants to be left alone before it is asked again.
func (t *task) pause() time.Duration {
	for _, ms := range []*int64{t.IntervalMs, t.Interval} {
		if ms != nil {
			return time.Duration(min(max(*ms, shortestPoll.Milliseconds()), longestPoll.Milliseconds())) * time.Millisecond
		}
	}
	return usualPoll
}

// over reports whether a task has ended, which it does once.
func (t *task) over() bool {
	return t.Status == string(mcp.TaskStatusCompleted) || t.Status == string(mcp.TaskStatusFailed) || t.Status == string(mcp.TaskStatusCancelled)
}

// taskParams asks for a task of revision 2025-11-25.
type taskParams struct {
	TTL int64 `json:"ttl"` // in milliseconds
}

// lasting asks for a task that is kept for as long as its call may go on.
func lasting(ctx context.Context) *taskParams {
	ttl := longestTask
	if end, ok := ctx.Deadline(); ok {
		ttl = max(time.Until(end), 0)
	}
	return &taskParams{(ttl + taskMargin).Milliseconds()}
}

// asTask reports whether the server is asked to make a task of a call.
func (s *session) asTask(c tools.Call) bool {
	return c.AsTask && c.Method == tools.MethodCall && s.tasks != nil && s.tasks.Requests != nil &&
		s.tasks.Requests.Tools != nil && s.tasks.Requests.Tools.Call != nil
}

// made is the answer with a task.
func made(raw json.RawMessage) (said, error) {
	var t task
	if err := json.Unmarshal(raw, &t); err != nil || t.ID == "" || len(t.ID) > maxTaskID {
		return said{}, fmt.Errorf("%w: %w", tools.ErrUncertain, errNoTask)
	}
	return said{task: &t}, nil
}

// follow waits for the end of a task that a call has become. One that goes on when the call has ended
// is cancelled.
func (s *session) follow(ctx context.Context, c tools.Call, f *flight, t task) (tools.Answer, error) {
	s.mu.Lock()
	f.task = t.ID
	s.mu.Unlock()
	f.made = t.Created
	found := s.lasts(c, t)
	wait := s.collect
	if mcp.IsModernProtocol(s.version) {
		wait = s.poll
	}
	answer, err := wait(ctx, c, f, t)
	switch {
	case ctx.Err() != nil && detached(ctx):
		s.stays.Store(true)
	case ctx.Err() != nil, errors.Is(err, tools.ErrUnanswered):
		s.cancelTask(ctx, c, t.ID)
	case errors.Is(err, errUnreachable) && s.place != "" && s.cause() != nil:
		s.stays.Store(true)
		return tools.Answer{}, &severedError{found}
	}
	return answer, err
}

// collect waits on tasks/result. A connection that breaks meanwhile is not the task's end. Of a task that
// was made in another session it is first asked whether it is still that one.
func (s *session) collect(ctx context.Context, c tools.Call, f *flight, t task) (tools.Answer, error) {
	for failures := 0; ; {
		if f.elsewhere {
			if _, err := s.look(ctx, c, f, t.ID); err != nil {
				failures++
				if err := s.patient(ctx, failures, err, t.pause()); err != nil {
					return tools.Answer{}, err
				}
				continue
			}
			f.elsewhere = false
		}
		result, err := s.about(ctx, c, f, mcp.MethodTasksResult, t.ID, nil)
		if err == nil {
			return s.collected(ctx, c, f, t.ID, result)
		}
		now, failure := s.look(ctx, c, f, t.ID)
		refused, isRefusal := errors.AsType[*tools.RPCError](err)
		switch {
		case ctx.Err() != nil:
			return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
		case failure == nil && now.over() && isRefusal:
			return tools.Answer{}, ended(now, refused)
		case failure == nil && !now.over(): // it does not let anybody wait for so long
			failures = 0
		default:
			failures++
		}
		if err := s.patient(ctx, failures, failure, t.pause()); err != nil {
			return tools.Answer{}, err
		}
	}
}

// collected is what a task ended with. Servers built with mcp-go answer an empty result of one that they have cancelled.
func (s *session) collected(ctx context.Context, c tools.Call, f *flight, id string, result json.RawMessage) (tools.Answer, error) {
	var said struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(result, &said); err != nil || said.Content == nil {
		if now, err := s.look(ctx, c, f, id); err == nil && now.over() && now.Status != string(mcp.TaskStatusCompleted) {
			return tools.Answer{}, ended(now, nil)
		}
	}
	return answerOf(result)
}

// poll comes back by tasks/get until a task has ended, and puts its questions to the caller.
func (s *session) poll(ctx context.Context, c tools.Call, f *flight, t task) (tools.Answer, error) {
	answered := map[string]bool{}
	for failures := 0; ; {
		if err := s.patient(ctx, failures, nil, t.pause()); err != nil {
			return tools.Answer{}, err
		}
		now, err := s.look(ctx, c, f, t.ID)
		if err != nil {
			failures++
			if err := s.patient(ctx, failures, err, 0); err != nil {
				return tools.Answer{}, err
			}
			continue
		}
		failures = 0
		switch {
		case now.Status == string(mcp.TaskStatusCompleted):
			return answerOf(now.Result)
		case now.over():
			return tools.Answer{}, ended(now, nil)
		case now.Status == string(mcp.TaskStatusInputRequired):
			if err := s.reply(ctx, c, f, now, answered); err != nil {
				return tools.Answer{}, err
			}
		}
	}
}

// patient waits before a server is asked about a task again, unless there is no point in it.
func (s *session) patient(ctx context.Context, failures int, last error, pause time.Duration) error {
	if _, refused := errors.AsType[*tools.RPCError](last); refused {
		return fmt.Errorf("%w: it does not know the task any more that it made of the call", tools.ErrUncertain)
	}
	select {
	case <-s.gone:
		failures = maxFailures
	default:
	}
	if failures >= maxFailures {
		return fmt.Errorf("%w: %w", tools.ErrUncertain, errUnreachable)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", tools.ErrUncertain, context.Cause(ctx))
	}
}

// reply puts those of a task's questions that were not answered yet to the caller, and its answers to the server.
func (s *session) reply(ctx context.Context, c tools.Call, f *flight, t task, answered map[string]bool) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(t.Questions, &all); err != nil {
		return fmt.Errorf("%w: %w", tools.ErrUncertain, errAnswer)
	}
	for key := range all {
		if answered[key] {
			delete(all, key)
		}
		answered[key] = true
	}
	if len(all) == 0 {
		return nil
	}
	if len(answered) > maxTurns {
		return fmt.Errorf("%w: it asks on and on", tools.ErrUnanswered)
	}
	questions, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("%w: %w", tools.ErrUncertain, errAnswer)
	}
	next, err := s.next(ctx, c, asked{Questions: questions})
	if err != nil {
		return err
	}
	if _, err := s.about(ctx, c, f, methodUpdate, t.ID, next.answers); err != nil {
		return fmt.Errorf("%w: it did not take the answers to what it asked", tools.ErrUncertain)
	}
	return nil
}

// look asks how a task fares.
func (s *session) look(ctx context.Context, c tools.Call, f *flight, id string) (task, error) {
	result, err := s.about(ctx, c, f, mcp.MethodTasksGet, id, nil)
	if err != nil {
		return task{}, err
	}
	var t task
	if err := json.Unmarshal(result, &t); err != nil {
		return task{}, errAnswer
	}
	if isAnother(f.made, t.Created) {
		return task{}, anothers()
	}
	return t, nil
}

// about sends a request about a task on behalf of its call.
func (s *session) about(ctx context.Context, c tools.Call, f *flight, method mcp.MCPMethod, id string, answers json.RawMessage) (json.RawMessage, error) {
	meta := s.meta()
	if c.TraceParent != "" {
		meta[metaTraceParent] = c.TraceParent
	}
	if mcp.IsModernProtocol(s.version) {
		meta[mcp.MetaKeyClientCapabilities] = askable(c.Asking)
	}
	params, err := json.Marshal(struct {
		ID string `json:"taskId"`
		turnParams
	}{id, turnParams{InputResponses: answers, Meta: meta}})
	if err != nil {
		return nil, err
	}
	request := s.request(method, params)
	if name, ok := mcp.EncodeHeaderValue(id); ok && s.http && mcp.IsModernProtocol(s.version) {
		request.Header.Set(mcp.HeaderName, name)
	}
	return s.exchange(ctx, c, f, request, false)
}

// cancelTask tells the server that a task is no longer waited for.
func (s *session) cancelTask(ctx context.Context, c tools.Call, id string) {
	if !mcp.IsModernProtocol(s.version) && (s.tasks == nil || s.tasks.Cancel == nil) {
		return // it has no way to
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	s.work.Go(func() {
		defer stop()
		// Best effort: the outcome is uncertain whether the server hears of it or not.
		_, _ = s.about(ctx, tools.Call{Subject: c.Subject, TraceParent: c.TraceParent}, &flight{flying: ctx}, mcp.MethodTasksCancel, id, nil)
	})
}

// disown cancels the task that a server makes of a call which ended before the server had answered.
func (s *session) disown(ctx context.Context, c tools.Call, done <-chan outcome, stop context.CancelFunc) {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	s.work.Go(func() {
		defer end()
		defer stop()
		select {
		case o := <-done:
			if o.err != nil || o.response == nil {
				return
			}
			head, err := headOf(o.response.Result)
			if err != nil {
				return
			}
			if late, err := made(head.Task); err == nil {
				s.cancelTask(ctx, c, late.task.ID)
			}
		case <-ctx.Done():
		}
	})
}

// answerOf is a tool's answer, as a task ends with it.
func answerOf(result json.RawMessage) (tools.Answer, error) {
	head, err := headOf(result)
	if err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, err)
	}
	return tools.Answer{Raw: result, IsError: head.IsError}, nil
}

// ended is the error of a task that has ended without an answer.
func ended(t task, refused *tools.RPCError) error {
	switch {
	case t.Status == string(mcp.TaskStatusCancelled):
		return &tools.RPCError{Code: mcp.REQUEST_INTERRUPTED, Message: "the server has cancelled the task"}
	case t.Failure != nil:
		return refusal(t.Failure)
	case refused != nil:
		return refused
	default:
		return &tools.RPCError{Code: mcp.INTERNAL_ERROR, Message: "the task has failed"}
	}
}
