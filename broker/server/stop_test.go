package server_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents/client"
)

// slowUpstream is an MCP server whose tool tells that it runs, and goes on when it is let.
func slowUpstream(t *testing.T, runs chan<- struct{}, let <-chan struct{}) string {
	t.Helper()
	m := mcpserver.NewMCPServer("slow", "1")
	m.AddTool(mcp.NewTool("work"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		runs <- struct{}{}
		select {
		case <-let:
			return mcp.NewToolResultText("done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	s := httptest.NewServer(mcpserver.NewStreamableHTTPServer(m))
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

// TestAStopWaitsForWhatRuns: a tool that runs when the broker is told to stop runs to its
// end, its agent has the answer, its record is closed, and new calls are turned away.
func TestAStopWaitsForWhatRuns(t *testing.T) {
	t.Parallel()
	runs, let := make(chan struct{}, 1), make(chan struct{})
	rig := newRig(t)
	rig.slow = slowUpstream(t, runs, let)
	rig.write(t, rules+`@id("slow") permit (principal, action in Action::"slow", resource);`)
	r := rig.start(t)
	agent, late := r.copilot(t), r.copilot(t)
	if _, err := late.Tools(t.Context()); err != nil { // it has a session, and its connection
		t.Fatal(err)
	}
	type answer struct {
		reply *client.Result
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		reply, err := agent.Call(t.Context(), "slow.work", nil, client.CallOptions{})
		answered <- answer{reply, err}
	}()
	<-runs

	r.cancel()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop(t)
	}()
	for { // until the broker turns calls away
		if _, err := late.Call(t.Context(), "payments.accounts", nil, client.CallOptions{}); err != nil {
			break
		}
	}
	select {
	case <-stopped:
		t.Fatal("it stopped while a tool ran")
	default:
	}
	close(let)
	a := <-answered
	if a.err != nil || a.reply.Text != "done" {
		t.Fatalf("the agent is answered %+v, %v", a.reply, a.err)
	}
	<-stopped
	if state, outcome := rig.start(t).state(t, a.reply.CallID); state != "closed" || outcome != "result" {
		t.Errorf("after the restart the call is %s %s", state, outcome)
	}
}
