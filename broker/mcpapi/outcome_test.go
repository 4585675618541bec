package mcpapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools/toolstest"
)

func TestErrorsTellWhatToDo(t *testing.T) {
	t.Parallel()
	s := serve(t)
	decision := &audit.Decision{Reasons: []audit.Reason{ // of both links of the chain
		{Policy: "no-writes", Effect: "forbid", Text: "Writing is for leads.", Link: `User::"alice"`},
		{Policy: "no-writes", Effect: "forbid", Text: "Writing is for leads.", Link: `Agent::"copilot"`},
	}}
	for _, c := range []struct {
		kind broker.Kind
		code int // 0: a result
		text string
	}{
		{broker.Invalid, -32602, "public"},
		{broker.NotFound, -32602, "public"},
		{broker.Internal, -32603, "public"},
		{broker.Denied, 0, "denied: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
		{broker.Lapsed, 0, "lapsed: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
		{broker.Conflict, 0, "conflict: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
		{broker.Overloaded, 0, "overloaded: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
		{broker.LogUnavailable, 0, "log unavailable: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
		{broker.Upstream, 0, "upstream: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
		{broker.OutcomeUnknown, 0, "outcome unknown: public\n- policy no-writes: Writing is for leads.\nCall again in 1.5s."},
	} {
		s.caller.call = func(context.Context, broker.Request) (*broker.Reply, error) {
			return nil, &broker.Error{Kind: c.kind, Op: "secret", Public: "public", CallID: "c9", Decision: decision, Retry: 1500 * time.Millisecond}
		}
		got := s.send(t, "/mcp", modernBody("1", "tools/call", `"name":"files__echo"`), modernHeaders("tools/call", "files__echo")...)
		details := map[string]any{
			"kind": c.kind.String(), "call_id": "c9", "retry_after": 1.5,
			"reasons": []any{map[string]any{"policy": "no-writes", "reason": "Writing is for leads."}},
		}
		server := map[string]any{"name": "deed", "version": "1.0"}
		want := map[string]any{"jsonrpc": "2.0", "id": 1.0}
		if c.code != 0 {
			want["error"] = map[string]any{"code": float64(c.code), "message": c.text, "data": details}
		} else {
			want["result"] = map[string]any{
				"content": []any{map[string]any{"type": "text", "text": c.text}}, "structuredContent": details, "isError": true, "resultType": "complete",
				"_meta": map[string]any{"dev.deed/refusal": details, "dev.deed/call_id": "c9", "io.modelcontextprotocol/serverInfo": server},
			}
		}
		if d := cmp.Diff(want, parse(t, got.body)); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.kind, d)
		}
	}
}

func parse(t *testing.T, body string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

func TestAnAgentIsToldWhatPeopleChanged(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.caller.call = func(context.Context, broker.Request) (*broker.Reply, error) {
		return &broker.Reply{
			CallID: "c7", Answer: toolstest.Text("done"),
			Edited: &broker.Edited{By: "bob", Reason: "half is enough", Arguments: json.RawMessage(`{"amount":60}`)},
		}, nil
	}
	got := parse(t, s.send(t, "/mcp", modernBody("1", "tools/call", `"name":"files__echo"`), modernHeaders("tools/call", "files__echo")...).body)
	result, _ := got["result"].(map[string]any)
	want := []any{
		map[string]any{"type": "text", "text": `Before approving this call bob changed its arguments (half is enough). It ran with: {"amount":60}`},
		map[string]any{"type": "text", "text": "done"},
	}
	if d := cmp.Diff(want, result["content"]); d != "" {
		t.Errorf("content (-want +got)\n%s", d)
	}
	meta, _ := result["_meta"].(map[string]any)
	if d := cmp.Diff(map[string]any{"by": "bob", "reason": "half is enough", "arguments": map[string]any{"amount": 60.0}}, meta["dev.deed/edited"]); d != "" {
		t.Errorf("_meta (-want +got)\n%s", d)
	}
}

var held = broker.Pending{
	CallID: "c5", Tool: "files.echo", Approvers: []string{"lead"}, Expires: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
	Reasons: []audit.Reason{
		{Policy: "four-eyes", Effect: "forbid", Text: "Two look at it.", Link: `User::"alice"`},
		{Policy: "four-eyes", Effect: "forbid", Text: "Two look at it.", Link: `Agent::"copilot"`},
	},
}

func TestHeldCallsArePending(t *testing.T) {
	t.Parallel()
	for _, version := range []string{legacy, modern} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.caller.call = func(_ context.Context, r broker.Request) (*broker.Reply, error) {
				p := held
				if r.Waiting != nil {
					p.Expires = time.Now().Add(44*time.Second + 400*time.Millisecond)
					r.Waiting(p)
					r.Waiting(p)
					r.Notify("notifications/progress", json.RawMessage(`{"progress":0,"total":2}`))
				}
				p = held
				return &broker.Reply{CallID: p.CallID, Pending: &p}, nil
			}
			s.caller.await = func(_ context.Context, id *agents.Identity, callID string, _ func(broker.Pending)) (*broker.Reply, error) {
				if id.Principal != "alice" || callID != "c5" {
					return nil, &broker.Error{Kind: broker.NotFound, Public: "no held call of yours has this id"}
				}
				return &broker.Reply{CallID: "c5", Answer: toolstest.Text("at last")}, nil
			}
			c := s.connect(t, "/mcp", "alice", version)
			var progress []mcp.JSONRPCNotification
			heard := make(chan mcp.JSONRPCNotification, 8)
			c.OnNotification(func(n mcp.JSONRPCNotification) { heard <- n })
			var r mcp.CallToolRequest
			r.Params.Name = "files__echo"
			r.Params.Meta = &mcp.Meta{ProgressToken: "tok"}
			result, err := c.CallTool(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"status": "pending", "call_id": "c5", "tool": "files.echo", "released": false, "votes": 0.0, "approvers": []any{"lead"},
				"expires": "2026-11-24T12:00:00Z", "reasons": []any{map[string]any{"policy": "four-eyes", "reason": "Two look at it."}},
			}
			if d := cmp.Diff(want, result.StructuredContent); d != "" || result.IsError {
				t.Errorf("error %t (-want +got)\n%s", result.IsError, d)
			}
			text := result.Content[0].(mcp.TextContent).Text
			for _, part := range []string{"held: ", "approval by lead", "2026-11-24T12:00:00Z", "Two look at it.", `deed__await with {"call_id":"c5"}`, "repeat the same call"} {
				if !strings.Contains(text, part) {
					t.Errorf("%q is missing in %q", part, text)
				}
			}
			if n := strings.Count(text, "Two look at it."); n != 1 {
				t.Errorf("a reason is said %d times in %q", n, text)
			}
			for range 3 {
				progress = append(progress, <-heard)
			}
			last := -1.0
			for i, n := range progress {
				fields := n.Params.AdditionalFields
				if now := fields["progress"].(float64); now < last || (now == last && i < 2) || fields["progressToken"] != "tok" {
					t.Errorf("progress %d: %v after %v", i, fields, last)
				} else {
					last = now
				}
			}
			if m := progress[0].Params.AdditionalFields["message"]; m != "waiting for approval by lead (0 so far), 44s left" {
				t.Errorf("message %v", m)
			}
			for path, callID := range map[string]string{"/mcp": "c5", "/mcp/files": "c6"} {
				var r mcp.CallToolRequest
				r.Params.Name, r.Params.Arguments = "deed__await", map[string]any{"call_id": callID}
				result, err := s.connect(t, path, "alice", version).CallTool(t.Context(), r)
				if callID == "c6" {
					if err == nil || !strings.Contains(err.Error(), "no held call of yours") {
						t.Errorf("%v %v", result, err)
					}
					continue
				}
				if err != nil || result.Content[0].(mcp.TextContent).Text != "at last" {
					t.Errorf("%v %v", result, err)
				}
			}
		})
	}
}

// Clients check structured content against a tool's output schema, and drop an answer that does not fit.
func TestTypedToolsGetNoForeignContent(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for name, call := range map[string]func(context.Context, broker.Request) (*broker.Reply, error){
		"dev.deed/pending": func(context.Context, broker.Request) (*broker.Reply, error) {
			return &broker.Reply{CallID: held.CallID, Pending: &held}, nil
		},
		"dev.deed/refusal": func(context.Context, broker.Request) (*broker.Reply, error) {
			return nil, &broker.Error{Kind: broker.Denied, Public: "no", CallID: "c5"}
		},
	} {
		s.caller.call = call
		got := s.send(t, "/mcp/files", modernBody("1", "tools/call", `"name":"typed"`), modernHeaders("tools/call", "typed")...)
		result := parse(t, got.body)["result"].(map[string]any)
		if result["structuredContent"] != nil || result["isError"] != true || result["_meta"].(map[string]any)[name] == nil {
			t.Errorf("%s: %s", name, got.body)
		}
	}
}

func TestAwaitChecksItsArguments(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, arguments := range []string{``, `,"arguments":{}`, `,"arguments":{"call_id":1}`, `,"arguments":{"call_id":"a","x":1}`, `,"arguments":"c5"`} {
		got := s.send(t, "/mcp", modernBody("1", "tools/call", `"name":"deed__await"`+arguments), modernHeaders("tools/call", "deed__await")...)
		if !strings.Contains(got.body, "-32602") || got.status != 400 {
			t.Errorf("%s: %d %s", arguments, got.status, got.body)
		}
	}
}

func TestLogMessagesAreThoseAskedFor(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.caller.call = func(_ context.Context, r broker.Request) (*broker.Reply, error) {
		if r.Notify != nil {
			r.Notify("notifications/message", json.RawMessage(`{"level":"info","data":"quiet"}`))
			r.Notify("notifications/message", json.RawMessage(`{"level":"error","data":"loud"}`))
			r.Notify("notifications/message", json.RawMessage("{\"level\":\"error\"}\n\nevent: message\ndata: {}"))
			r.Notify("notifications/else", json.RawMessage(`{}`))
		}
		return &broker.Reply{CallID: "c1", Answer: toolstest.Text("done")}, nil
	}
	session := s.session(t, "/mcp", "alice")
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files__echo"}}`
	if got := s.send(t, "/mcp", call, "Mcp-Session-Id", session); strings.Contains(got.body, "loud") {
		t.Errorf("not asked for: %s", got.body)
	}
	s.send(t, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"warning"}}`, "Mcp-Session-Id", session)
	modernCall := strings.Replace(modernBody("1", "tools/call", `"name":"files__echo"`), `"_meta":{`, `"_meta":{"io.modelcontextprotocol/logLevel":"warning",`, 1)
	for _, got := range []reply{
		s.send(t, "/mcp", call, "Mcp-Session-Id", session),
		s.send(t, "/mcp", modernCall, modernHeaders("tools/call", "files__echo")...),
	} {
		if events := dataOf(got.body); len(events) != 2 || !strings.Contains(events[0], "loud") {
			t.Errorf("%s", got.body)
		}
	}
}
