package interop_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// startTask makes a call as a task of revision 2025-11-25.
func startTask(t *testing.T, c *client.Client, tool string, arguments map[string]any) mcp.Task {
	t.Helper()
	raw, err := c.GetTransport().SendRequest(t.Context(), transport.JSONRPCRequest{JSONRPC: mcp.JSONRPC_VERSION, ID: mcp.NewRequestId("task-" + tool), Method: string(mcp.MethodToolsCall), Params: map[string]any{
		"name": tool, "arguments": arguments, "task": map[string]any{"ttl": 60_000},
	}})
	if err != nil || raw.Error != nil {
		t.Fatalf("call %s as a task: %v %+v", tool, err, raw)
	}
	var created mcp.CreateTaskResult
	if err := json.Unmarshal(raw.Result, &created); err != nil || created.Task.TaskId == "" {
		t.Fatalf("%s: %v", raw.Result, err)
	}
	return created.Task
}

func TestTasksOf20251125(t *testing.T) {
	t.Parallel()
	s := start(t, fixtures(t), held)
	c := s.connect(t, "/mcp/fixture", legacy)
	listed, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil || listed.Tools[0].Execution == nil || listed.Tools[0].Execution.TaskSupport != mcp.TaskSupportOptional {
		t.Fatalf("tools are listed as %+v, %v", listed.Tools[0], err)
	}
	if can := c.GetServerCapabilities().Tasks; can == nil || can.List == nil || can.Requests == nil || can.Requests.Tools.Call == nil {
		t.Errorf("the server says it can %+v", can)
	}
	task := startTask(t, c, "test_simple_text", nil)
	if task.Status != mcp.TaskStatusWorking || !strings.Contains(task.StatusMessage, "waiting for approval by lead") || task.TTL == nil || *task.TTL > 60_000 || *task.TTL < 50_000 {
		t.Errorf("the task is %+v", task)
	}
	other := s.connectAs(t, "/mcp/fixture", legacy, s.tokenFor("ann", "copilot"))
	if _, err := other.GetTask(t.Context(), mcp.GetTaskRequest{Params: mcp.GetTaskParams{TaskId: task.TaskId}}); err == nil {
		t.Error("somebody else's task was given")
	}
	again := s.connect(t, "/mcp/fixture", legacy) // a session of its own: a task is no session's
	result := make(chan *mcp.TaskResultResult, 1)
	go func() {
		r, err := again.TaskResult(t.Context(), mcp.TaskResultRequest{Params: mcp.TaskResultParams{TaskId: task.TaskId}})
		if err != nil {
			t.Error(err)
		}
		result <- r
	}()
	s.approve(t, task.TaskId)
	if r := <-result; r == nil || !strings.Contains(text(t, r), "simple text response") {
		t.Fatalf("its result is %+v", r)
	}
	got, err := again.GetTask(t.Context(), mcp.GetTaskRequest{Params: mcp.GetTaskParams{TaskId: task.TaskId}})
	if err != nil || got.Status != mcp.TaskStatusCompleted {
		t.Errorf("the task is %+v, %v", got, err)
	}
	cancelled := startTask(t, c, "test_image_content", nil)
	if got, err := c.CancelTask(t.Context(), mcp.CancelTaskRequest{Params: mcp.CancelTaskParams{TaskId: cancelled.TaskId}}); err != nil || got.Status != mcp.TaskStatusCancelled {
		t.Errorf("cancelled, the task is %+v, %v", got, err)
	}
	list, err := again.ListTasks(t.Context(), mcp.ListTasksRequest{})
	if err != nil || len(list.Tasks) != 2 || list.Tasks[0].TaskId != cancelled.TaskId {
		t.Errorf("listed are %+v, %v", list, err)
	}
	if none, err := other.ListTasks(t.Context(), mcp.ListTasksRequest{}); err != nil || len(none.Tasks) != 0 {
		t.Errorf("somebody else lists %+v, %v", none, err)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ask sends a request of revision 2026-07-28 by hand: no client has the extension yet.
func (s *stack) ask(t *testing.T, method, name, params, capabilities string) (answer struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code int             `json:"code"`
		Data json.RawMessage `json:"data"`
	} `json:"error"`
},
) {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientInfo":{"name":"hand","version":"1"},"io.modelcontextprotocol/clientCapabilities":` + capabilities + `}}}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/mcp/fixture", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"Authorization": "Bearer " + s.token(), "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": modern, "Mcp-Method": method, "Mcp-Name": name,
	} {
		r.Header.Set(key, value)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(read, &answer); err != nil {
		t.Fatalf("%s: %v", read, err)
	}
	return answer
}

func TestTasksOf20260728(t *testing.T) {
	t.Parallel()
	const (
		speaks = `{"extensions":{"io.modelcontextprotocol/tasks":{}}}`
		shown  = `{"extensions":{"io.modelcontextprotocol/tasks":{}},"elicitation":{"url":{}}}`
	)
	s := start(t, fixtures(t), held)
	discovered := s.ask(t, "server/discover", "", `"x":1`, speaks)
	if !strings.Contains(string(discovered.Result), `"io.modelcontextprotocol/tasks":{}`) || strings.Contains(string(discovered.Result), `"tasks":{"`) {
		t.Errorf("discovered: %s", discovered.Result)
	}
	var task struct {
		ResultType    string                     `json:"resultType"`
		TaskID        string                     `json:"taskId"`
		Status        string                     `json:"status"`
		TTLMs         int64                      `json:"ttlMs"`
		InputRequests map[string]json.RawMessage `json:"inputRequests"`
		Result        json.RawMessage            `json:"result"`
	}
	read := func(raw json.RawMessage) {
		t.Helper()
		task.InputRequests, task.Result = nil, nil
		if err := json.Unmarshal(raw, &task); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	read(s.ask(t, "tools/call", "test_simple_text", `"name":"test_simple_text"`, speaks).Result)
	if task.ResultType != "task" || task.Status != "working" || task.TTLMs <= 0 {
		t.Fatalf("created: %+v", task)
	}
	id := `"taskId":"` + task.TaskID + `"`
	if refused := s.ask(t, "tasks/get", task.TaskID, id, `{}`); refused.Error == nil || refused.Error.Code != mcp.MISSING_REQUIRED_CLIENT_CAPABILITY {
		t.Errorf("without the extension: %+v", refused)
	}
	for _, method := range []string{"tasks/list", "tasks/result"} {
		if refused := s.ask(t, method, "", id, speaks); refused.Error == nil || refused.Error.Code != mcp.METHOD_NOT_FOUND && refused.Error.Code != mcp.HEADER_MISMATCH {
			t.Errorf("%s: %+v", method, refused)
		}
	}
	read(s.ask(t, "tasks/get", task.TaskID, id, shown).Result)
	if task.Status != "input_required" || !strings.Contains(string(task.InputRequests["approval"]), "/#/calls/"+task.TaskID) {
		t.Errorf("held, and its client can show it: %+v", task)
	}
	if ack := s.ask(t, "tasks/update", task.TaskID, id+`,"inputResponses":{"approval":{"action":"accept"}}`, shown); ack.Error != nil {
		t.Errorf("updated: %+v", ack.Error)
	}
	read(s.ask(t, "tasks/get", task.TaskID, id, shown).Result)
	if task.Status != "working" || task.InputRequests != nil {
		t.Errorf("held, and shown: %+v", task)
	}
	s.approve(t, task.TaskID)
	eventually(t, "the task is completed", func() bool {
		read(s.ask(t, "tasks/get", task.TaskID, id, speaks).Result)
		return task.Status == "completed"
	})
	if !strings.Contains(string(task.Result), "simple text response") {
		t.Errorf("its result is %s", task.Result)
	}
	read(s.ask(t, "tools/call", "test_image_content", `"name":"test_image_content"`, speaks).Result)
	id = `"taskId":"` + task.TaskID + `"`
	if ack := s.ask(t, "tasks/cancel", task.TaskID, id, speaks); ack.Error != nil {
		t.Errorf("cancelled: %+v", ack.Error)
	}
	if ack := s.ask(t, "tasks/cancel", task.TaskID, id, speaks); ack.Error != nil {
		t.Errorf("cancelled once more: %+v", ack.Error)
	}
	read(s.ask(t, "tasks/get", task.TaskID, id, speaks).Result)
	if task.Status != "cancelled" {
		t.Errorf("cancelled, the task is %+v", task)
	}
}
