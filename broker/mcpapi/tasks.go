package mcpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// A task of MCP is a call: its id is the call's, so that it outlives the session that made it
// and the process that it was made in. In revision 2025-11-25 the client asks for a task; since
// 2026-07-28 (extension io.modelcontextprotocol/tasks) one is made of a call that is held, or whose tool
// says that it can, or must, be called as a task.

const (
	tasksExtension = "io.modelcontextprotocol/tasks"
	keyRelatedTask = "io.modelcontextprotocol/related-task"
	methodUpdate   = "tasks/update"
	taskPoll       = 2 * time.Second // between a client's questions
	tasksPage      = 100
	maxAnswered    = 10_000
)

// tasksCapability is what is offered of tasks in revision 2025-11-25.
func tasksCapability() *mcp.TasksCapability {
	c := mcp.TasksCapability{List: &struct{}{}, Cancel: &struct{}{}, Requests: new(mcp.TaskRequestsCapability)}
	c.Requests.Tools = &struct {
		Call *struct{} `json:"call,omitempty"`
	}{Call: &struct{}{}}
	return &c
}

// takesTasks reports whether a client of revision 2026-07-28 takes a task for an answer.
func takesTasks(capabilities jsontext.Value) bool {
	var c struct {
		Extensions map[string]jsontext.Value `json:"extensions"`
	}
	if err := jsonv2.Unmarshal(capabilities, &c); err != nil {
		return false
	}
	_, ok := c.Extensions[tasksExtension]
	return ok
}

// mayBeTask reports whether a call is answered with a task if it is held.
func (v *invocation) mayBeTask() bool {
	return v.modern() && v.method == tools.MethodCall && v.m.call.name != awaitTool && takesTasks(v.m.meta.capabilities)
}

// becomesTask reports whether a call is made as a task for a client of revision 2026-07-28, which has no say in that.
func (v *invocation) becomesTask() bool {
	return v.mayBeTask() && v.m.call.state == nil && v.tool != nil && v.tool.TakesTasks()
}

// wantsTask reports whether a client of revision 2025-11-25 asks for a task.
func (v *invocation) wantsTask() bool {
	return v.s != nil && v.s.protocol == mcp.ProtocolVersion20251125 && v.m.call.task != nil &&
		v.method == tools.MethodCall && v.m.call.name != awaitTool
}

// taskTTL is for how long a client wants to be able to ask for its task.
func taskTTL(task jsontext.Value) (time.Duration, *fault) {
	var p struct {
		TTL *int64 `json:"ttl"`
	}
	if err := jsonv2.Unmarshal(task, &p); err != nil || p.TTL != nil && *p.TTL <= 0 {
		return 0, invalidParams("params.task must be an object whose ttl is a number of milliseconds above 0")
	}
	if p.TTL == nil || *p.TTL > broker.MaxTask.Milliseconds() {
		return broker.MaxTask, nil
	}
	return time.Duration(*p.TTL) * time.Millisecond, nil
}

// callAsTask makes a call that is answered as soon as it is on record.
func (h *Handler) callAsTask(v *invocation) {
	ttl, can := broker.MaxTask, v.m.meta.capabilities
	if !v.modern() {
		var f *fault
		if ttl, f = taskTTL(v.m.call.task); f != nil {
			v.out.finish(http.StatusOK, failure(v.m.id, f))
			return
		}
		can = v.s.can
	}
	req := v.request()
	req.Notify, req.Waiting, req.NoWait, req.TaskIfHeld = nil, nil, true, false
	req.TaskUntil = time.Now().Add(ttl)
	begun, failed := make(chan string, 1), make(chan error, 1)
	known := make(chan struct{})
	var callID string // once it is known
	req.Begun = func(id string) {
		callID = id
		close(known)
		begun <- id
	}
	if canBeAsked(can) {
		req.Asking = tools.Asking{Capabilities: append([]byte(nil), can...), Ask: func(ctx context.Context, questions json.RawMessage) (json.RawMessage, error) {
			select {
			case <-known:
				return h.taskQuestions.ask(ctx, callID, questions, h.cfg.Limits.AnswerTimeout)
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}}
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(v.r.Context()), h.cfg.Limits.CallTimeout)
	h.work.Go(func() {
		defer stop()
		if _, err := h.cfg.Caller.Call(ctx, req); err != nil {
			failed <- err
		}
	})
	select {
	case id := <-begun:
		h.finishTask(v.r.Context(), v, id)
	case err := <-failed:
		callID := broker.AsError(err).CallID
		if _, none := h.cfg.Caller.Task(v.r.Context(), v.in.identity, callID); none == nil { // the call failed, the task is there
			h.finishTask(v.r.Context(), v, callID)
			return
		}
		if v.modern() {
			h.finishFailed(v.r.Context(), v, err)
			return
		}
		v.finishError(err)
	case <-v.r.Context().Done():
	}
}

// finishError answers with an error that is not the result of a tool.
func (v *invocation) finishError(err error) {
	e := broker.AsError(err)
	code, _ := rpcCode(e.Kind)
	v.out.finish(v.status(code), failure(v.m.id, &fault{code: code, public: e.Public, data: refusalOf(e)}))
}

// finishTask answers a call with the task that it has become.
func (h *Handler) finishTask(ctx context.Context, v *invocation, callID string) bool {
	t, err := h.cfg.Caller.Task(ctx, v.in.identity, callID)
	switch {
	case err != nil && v.modern():
		return false
	case err != nil:
		v.finishError(err)
	case v.modern():
		b := append(h.appendTask(v, []byte(`{"resultType":"task",`), t, "working"), `,"_meta":{`...)
		v.out.finish(http.StatusOK, success(v.m.id, append(h.appendMeta(b, callID, true), "}}"...)))
	default:
		b := append(h.appendTask(v, []byte(`{"task":{`), t, h.taskStatus(v, t)), `},"_meta":{`...)
		v.out.finish(http.StatusOK, success(v.m.id, append(h.appendMeta(b, callID, false), "}}"...)))
	}
	return true
}

// taskStatus is a task's status as MCP has it.
func (h *Handler) taskStatus(v *invocation, t broker.Task) string {
	switch {
	case t.Pending != nil && !t.Pending.Released && h.canShow(v, t), t.Pending != nil && h.canAnswer(v) && h.taskQuestions.any(t.CallID):
		return "input_required"
	case t.Pending != nil:
		return "working"
	case t.Ended == audit.CallCancelled, t.Ended == audit.CallUnknown && t.Code == audit.CodeClient:
		return "cancelled"
	case v.modern(), t.Ended == audit.CallResult: // a tool's error is a result there
		return "completed"
	default:
		return "failed"
	}
}

// canShow reports whether the person before the client can be shown the card of a held task,
// and was not: on the stream of tasks/result, or by what tasks/get gives.
func (h *Handler) canShow(v *invocation, t broker.Task) bool {
	if v.s != nil {
		_, byURL := elicits(v.s.can)
		return byURL
	}
	form, byURL := elicits(v.m.meta.capabilities)
	return (form || byURL) && !h.answered.has(t.CallID)
}

// canAnswer reports whether the client can be asked what a tool asks.
func (h *Handler) canAnswer(v *invocation) bool {
	if v.s != nil {
		return canBeAsked(v.s.can)
	}
	return canBeAsked(v.m.meta.capabilities)
}

func taskMessage(t broker.Task) string {
	switch {
	case t.Pending == nil && t.Reason != "":
		return t.Reason
	case t.Pending == nil:
		return "the call has ended"
	case t.Pending.Released:
		return "running"
	default:
		return waitingText(*t.Pending) + ". Nothing has been done yet."
	}
}

// appendTask appends the members of a task.
func (h *Handler) appendTask(v *invocation, b []byte, t broker.Task, status string) []byte {
	ttl, poll := `,"ttl":`, `,"pollInterval":`
	if v.modern() {
		ttl, poll = `,"ttlMs":`, `,"pollIntervalMs":`
	}
	b = appendText(append(b, `"taskId":`...), t.CallID)
	b = appendText(append(b, `,"status":`...), status)
	b = appendText(append(b, `,"statusMessage":`...), taskMessage(t))
	b = appendText(append(b, `,"createdAt":`...), t.Made.UTC().Format(time.RFC3339Nano))
	b = appendText(append(b, `,"lastUpdatedAt":`...), t.Updated.UTC().Format(time.RFC3339Nano))
	b = marshalInto(append(b, ttl...), t.Until.Sub(t.Made).Milliseconds())
	return marshalInto(append(b, poll...), taskPoll.Milliseconds())
}

// isTaskMethod reports whether a method is about tasks.
func isTaskMethod(method string) bool { return strings.HasPrefix(method, "tasks/") }

// serveTask answers what clients ask about their tasks.
func (h *Handler) serveTask(v *invocation) {
	v.out = newAnswer(v.w, acceptsEvents(v.r.Header), h.cfg.Limits.WriteTimeout)
	defer v.out.close()
	v.n = &notifier{out: v.out, token: v.m.meta.progressToken}
	if f := v.checkTaskMethod(); f != nil {
		v.out.finish(v.status(f.code), failure(v.m.id, f))
		return
	}
	switch method := v.m.method; {
	case method == string(mcp.MethodTasksList):
		h.listTasks(v)
	case method == string(mcp.MethodTasksResult):
		h.taskResult(v)
	case method == string(mcp.MethodTasksCancel):
		t, err := h.cfg.Caller.CancelTask(v.r.Context(), v.in.identity, v.m.call.taskID)
		if v.modern() && err != nil && broker.AsError(err).Kind != broker.NotFound { // it has ended, or goes on: tasks/get says
			t, err = h.cfg.Caller.Task(v.r.Context(), v.in.identity, v.m.call.taskID)
		}
		h.finishAbout(v, t, err)
	default:
		t, err := h.cfg.Caller.Task(v.r.Context(), v.in.identity, v.m.call.taskID)
		if err == nil && method == methodUpdate {
			h.answered.add(t.CallID)
			h.taskQuestions.answer(t.CallID, v.m.call.responses)
		}
		h.finishAbout(v, t, err)
	}
}

// checkTaskMethod finds what is wrong with a request about tasks.
func (v *invocation) checkTaskMethod() *fault {
	known := []string{string(mcp.MethodTasksGet), string(mcp.MethodTasksCancel), string(mcp.MethodTasksList), string(mcp.MethodTasksResult)}
	if v.modern() {
		if f := checkModern(v.r.Header, v.m); f != nil {
			return f
		}
		known = append(known[:2:2], methodUpdate)
	}
	switch {
	case !slices.Contains(known, v.m.method) || v.s != nil && v.s.protocol != mcp.ProtocolVersion20251125:
		return &fault{code: mcp.METHOD_NOT_FOUND, public: "there is no method " + clipped(v.m.method)}
	case v.modern() && !takesTasks(v.m.meta.capabilities):
		return &fault{code: mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, public: "the client does not declare the extension " + tasksExtension, data: json.RawMessage(
			`{"requiredCapabilities":{"extensions":{"` + tasksExtension + `":{}}}}`)}
	case v.m.method != string(mcp.MethodTasksList) && (v.m.call.taskID == "" || len(v.m.call.taskID) > 64):
		return invalidParams("params.taskId must be the id of a task")
	}
	return checkAnswers(v.m)
}

func clipped(s string) string { return s[:min(len(s), 64)] }

// finishAbout answers with the state of a task; since 2026-07-28 only tasks/get does, with all that is known.
func (h *Handler) finishAbout(v *invocation, t broker.Task, err error) {
	switch {
	case err != nil:
		v.finishError(err)
	case !v.modern():
		b := append(h.appendTask(v, []byte{'{'}, t, h.taskStatus(v, t)), `,"_meta":{`...)
		v.out.finish(http.StatusOK, success(v.m.id, append(h.appendMeta(b, t.CallID, false), "}}"...)))
	case v.m.method != string(mcp.MethodTasksGet):
		b := []byte(`{"resultType":"complete","_meta":{`)
		v.out.finish(http.StatusOK, success(v.m.id, append(h.appendMeta(b, t.CallID, true), "}}"...)))
	default:
		h.finishDetailed(v, t)
	}
}

// finishDetailed answers tasks/get of revision 2026-07-28.
func (h *Handler) finishDetailed(v *invocation, t broker.Task) {
	status, member, value := h.taskStatus(v, t), "", []byte(nil)
	switch status {
	case "input_required":
		if h.taskQuestions.any(t.CallID) {
			member, value = "inputRequests", h.taskQuestions.requests(t.CallID)
			break
		}
		_, byURL := elicits(v.m.meta.capabilities)
		member, value = "inputRequests", append(append([]byte(`{"`+heldKey+`":`), h.approvalQuestion(t.Pending, byURL)...), '}')
	case "completed":
		v.method, v.tool = tools.MethodCall, h.toolOf(t.Tool)
		reply, err := h.cfg.Caller.Await(v.r.Context(), v.in.identity, t.CallID, nil)
		if err == nil {
			member, value = "result", h.result(reply, v)
			break
		}
		e := broker.AsError(err)
		code, isResult := rpcCode(e.Kind)
		if rpc, ok := errors.AsType[*tools.RPCError](e.Err); ok && e.Kind == broker.Upstream {
			status, member, value = "failed", "error", marshalInto(nil, mcp.NewJSONRPCErrorDetails(rpc.Code, rpc.Message, rpc.Data))
		} else if isResult {
			member, value = "result", h.refusalResult(e, v)
		} else {
			status, member, value = "failed", "error", marshalInto(nil, mcp.NewJSONRPCErrorDetails(code, e.Public, refusalOf(e)))
		}
	}
	b := h.appendTask(v, []byte(`{"resultType":"complete",`), t, status)
	if member != "" {
		b = append(append(b, `,"`+member+`":`...), value...)
	}
	b = append(b, `,"_meta":{`...)
	v.out.finish(http.StatusOK, success(v.m.id, append(h.appendMeta(b, t.CallID, true), "}}"...)))
}

func (h *Handler) toolOf(name string) *tools.Tool {
	t, err := h.cfg.Tools.Lookup(name)
	return foundTool(t, err)
}

// taskResult answers tasks/result of revision 2025-11-25: with what the call would have been answered.
func (h *Handler) taskResult(v *invocation) {
	t, err := h.cfg.Caller.Task(v.r.Context(), v.in.identity, v.m.call.taskID)
	if err != nil {
		v.finishError(err)
		return
	}
	v.method, v.tool, v.related = tools.MethodCall, h.toolOf(t.Tool), t.CallID
	ctx, cancel := v.context(h.cfg.Limits)
	defer cancel(nil)
	defer v.s.started(string(v.m.id), cancel)()
	var waiting func(broker.Pending)
	if v.n.wantsProgress() {
		waiting = v.n.waiting
	}
	waiting, shown := h.showing(ctx, v, waiting)
	if v.out.streams && canBeAsked(v.s.can) {
		var asking sync.WaitGroup
		asked, enough := context.WithCancel(ctx)
		asking.Go(func() { h.askOfTask(asked, v, t.CallID) })
		defer asking.Wait() // nothing may be sent once the answer is
		defer enough()
	}
	for {
		reply, err := h.cfg.Caller.Await(ctx, v.in.identity, t.CallID, waiting)
		if err == nil && reply.Pending != nil {
			if ctx.Err() == nil && h.ended.Err() == nil {
				continue
			}
			v.out.finish(http.StatusOK, failure(v.m.id, &fault{code: codeRefused, public: pendingText(reply.Pending)}))
			return
		}
		if shown() {
			v.over(t.CallID)
		}
		h.finish(ctx, v, reply, err)
		return
	}
}

// listTasks answers tasks/list of revision 2025-11-25 with the caller's own tasks.
func (h *Handler) listTasks(v *invocation) {
	list, next, err := h.cfg.Caller.Tasks(v.r.Context(), v.in.identity, v.m.call.cursor, tasksPage)
	if err != nil {
		v.finishError(err)
		return
	}
	b := []byte(`{"tasks":[`)
	for i, t := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(h.appendTask(v, append(b, '{'), t, h.taskStatus(v, t)), '}')
	}
	b = append(b, ']')
	if next != "" {
		b = appendText(append(b, `,"nextCursor":`...), next)
	}
	v.out.finish(http.StatusOK, success(v.m.id, append(b, '}')))
}

// marks are calls whose clients have answered what they were asked, the latest maxAnswered of
// them: others are asked again, which clients recognise by its key.
type marks struct {
	mu   sync.Mutex
	seen map[string]bool // guarded by mu
}

func (m *marks) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[id]
}

func (m *marks) add(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil || len(m.seen) >= maxAnswered {
		m.seen = map[string]bool{}
	}
	m.seen[id] = true
}

// withTasks is a definition that says that its tool can be called as a task, whatever its
// upstream says: the broker sees to that.
func withTasks(raw []byte) []byte {
	r := newReader(raw)
	b := []byte{'{'}
	err := r.members(nil, func(member string) error {
		v, err := r.value()
		if err != nil || member == "execution" {
			return err
		}
		b = append(appendText(b, member), ':')
		b = append(append(b, v...), ',')
		return nil
	})
	if err != nil { // not a definition, which the registry has ruled out
		return raw
	}
	return append(b, `"execution":{"taskSupport":"optional"}}`...)
}
