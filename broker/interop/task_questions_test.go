package interop_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
)

// What a tool asks in the middle of a task of revision 2025-11-25 comes on the stream of tasks/result, be
// the call permitted at once or by people.
func TestTasksAskOnTheStreamOfTheirResult(t *testing.T) {
	t.Parallel()
	for name, policies := range map[string]string{"permitted": everything, "approved": held} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, fixtures(t), policies)
			a := answering{asked: make(chan string, 8)}
			c := s.connect(t, "/mcp/fixture", legacy, client.WithElicitationHandler(a))
			task := startTask(t, c, "test_elicitation", map[string]any{"message": "Who?"})
			if name == "approved" {
				s.approve(t, task.TaskId)
			}
			eventually(t, "its status says that it asks", func() bool {
				got, err := c.GetTask(t.Context(), mcp.GetTaskRequest{Params: mcp.GetTaskParams{TaskId: task.TaskId}})
				if err != nil {
					t.Fatal(err)
				}
				return got.Status == mcp.TaskStatusInputRequired
			})
			r, err := c.TaskResult(t.Context(), mcp.TaskResultRequest{Params: mcp.TaskResultParams{TaskId: task.TaskId}})
			if err != nil {
				t.Fatal(err)
			}
			if got := text(t, r); !strings.Contains(got, "e@example.com") {
				t.Errorf("it answers %s", got)
			}
			if asked := <-a.asked; asked != "Who?" {
				t.Errorf("it asked %q", asked)
			}
		})
	}
}

// Since 2026-07-28 tasks/get has the questions, each under a key of its own, and tasks/update brings the answers.
func TestTasksAskByTheirState(t *testing.T) {
	t.Parallel()
	const speaks = `{"extensions":{"io.modelcontextprotocol/tasks":{}},"elicitation":{"form":{}}}`
	s := start(t, fixtures(t), held)
	var task struct {
		ResultType    string                     `json:"resultType"`
		TaskID        string                     `json:"taskId"`
		Status        string                     `json:"status"`
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
	read(s.ask(t, "tools/call", "test_input_required_result_multi_round", `"name":"test_input_required_result_multi_round"`, speaks).Result)
	if task.ResultType != "task" {
		t.Fatalf("created: %+v", task)
	}
	id := `"taskId":"` + task.TaskID + `"`
	s.approve(t, task.TaskID)
	seen := map[string]bool{}
	for range 2 {
		var key string
		eventually(t, "it asks", func() bool {
			read(s.ask(t, "tasks/get", task.TaskID, id, speaks).Result)
			for k := range task.InputRequests {
				if key = k; k != "approval" && !seen[k] {
					return task.Status == "input_required"
				}
			}
			return false
		})
		seen[key] = true
		if ack := s.ask(t, "tasks/update", task.TaskID, id+`,"inputResponses":"none"`, speaks); ack.Error == nil {
			t.Error("answers that are none were taken")
		}
		if ack := s.ask(t, "tasks/update", task.TaskID, id+`,"inputResponses":{"`+key+`":{"action":"accept","content":{"name":"n","color":"c"}}}`, speaks); ack.Error != nil {
			t.Errorf("updated: %+v", ack.Error)
		}
	}
	eventually(t, "the task is completed", func() bool {
		read(s.ask(t, "tasks/get", task.TaskID, id, speaks).Result)
		return task.Status == "completed"
	})
	if !strings.Contains(string(task.Result), "both steps") {
		t.Errorf("its result is %s", task.Result)
	}
}
