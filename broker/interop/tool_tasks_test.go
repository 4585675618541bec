package interop_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// A tool that says that it can be called as a task is one to clients of 2026-07-28 that take tasks, at once, and an
// ordinary call to others; what policy denies is denied, and not a task.
func TestToolsThatTakeTasksAreTasks(t *testing.T) {
	t.Parallel()
	const (
		speaks = `{"extensions":{"io.modelcontextprotocol/tasks":{}},"elicitation":{"form":{}}}`
		never  = `@id("never") @reason("Not that.") forbid (principal, action == Action::"fixture.failing_job", resource);`
	)
	s := start(t, fixtures(t), everything+never)
	type task struct {
		ResultType string                     `json:"resultType"`
		TaskID     string                     `json:"taskId"`
		Status     string                     `json:"status"`
		Questions  map[string]json.RawMessage `json:"inputRequests"`
		Result     json.RawMessage            `json:"result"`
	}
	call := func(tool, arguments, capabilities string) (made task, raw string) {
		t.Helper()
		answer := s.ask(t, "tools/call", tool, `"name":"`+tool+`","arguments":`+arguments, capabilities)
		if err := json.Unmarshal(answer.Result, &made); err != nil {
			t.Fatalf("%s: %+v", answer.Result, answer.Error)
		}
		return made, string(answer.Result)
	}
	until := func(id, status string) (now task) {
		t.Helper()
		eventually(t, "the task is "+status, func() bool {
			answer := s.ask(t, "tasks/get", id, `"taskId":"`+id+`"`, speaks)
			if err := json.Unmarshal(answer.Result, &now); err != nil {
				t.Fatalf("%s: %+v", answer.Result, answer.Error)
			}
			return now.Status == status
		})
		return now
	}
	made, raw := call("slow_compute", `{"seconds":0.3,"label":"tea"}`, speaks)
	if made.ResultType != "task" || made.TaskID == "" {
		t.Fatalf("created: %s", raw)
	}
	if got := until(made.TaskID, "completed"); !strings.Contains(string(got.Result), "computed tea") {
		t.Errorf("its result is %s", got.Result)
	}
	if made, raw := call("slow_compute", `{"seconds":0,"label":"milk"}`, `{}`); made.TaskID != "" || !strings.Contains(raw, "computed milk") {
		t.Errorf("to a client that takes no tasks it is %s", raw)
	}
	if made, raw := call("greet", `{"name":"ada"}`, speaks); made.TaskID != "" || !strings.Contains(raw, "Hello, ada!") {
		t.Errorf("a tool that takes no tasks is %s", raw)
	}
	if made, raw := call("failing_job", `{}`, speaks); made.TaskID != "" || !strings.Contains(raw, "Not that.") {
		t.Errorf("what is denied is %s", raw)
	}

	made, raw = call("multi_input", `{}`, speaks) // which asks two things at once
	if made.ResultType != "task" {
		t.Fatalf("created: %s", raw)
	}
	id := `"taskId":"` + made.TaskID + `"`
	for left := 2; left > 0; left-- {
		now := until(made.TaskID, "input_required")
		if len(now.Questions) != left {
			t.Errorf("it asks %v, want %d questions", now.Questions, left)
		}
		for key := range now.Questions { // one at a time
			if ack := s.ask(t, "tasks/update", made.TaskID, id+`,"inputResponses":{"`+key+`":{"action":"accept","content":{"confirm":true}}}`, speaks); ack.Error != nil {
				t.Errorf("updated: %+v", ack.Error)
			}
			break
		}
	}
	if got := until(made.TaskID, "completed"); !strings.Contains(string(got.Result), "both are there") {
		t.Errorf("its result is %s", got.Result)
	}

	made, _ = call("slow_compute", `{"seconds":3600,"label":"never"}`, speaks)
	if ack := s.ask(t, "tasks/cancel", made.TaskID, `"taskId":"`+made.TaskID+`"`, speaks); ack.Error != nil {
		t.Errorf("cancelled: %+v", ack.Error)
	}
	until(made.TaskID, "cancelled")
}
