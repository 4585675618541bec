package upstreamtest

import (
	"context"
	"errors"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// addTasks adds the tools of the suite about tasks, those that can be called as one and one that cannot.
func (f *Fixture) addTasks() {
	f.tool("greet", "Greets.", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text("Hello, " + r.GetString("name", "you") + "!"), nil
	}, mcp.WithString("name"))
	f.long("slow_compute", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		done := time.NewTimer(time.Duration(r.GetFloat("seconds", 0) * float64(time.Second)))
		defer done.Stop()
		select {
		case <-done.C:
			return text("computed " + r.GetString("label", "it")), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}, mcp.WithNumber("seconds"), mcp.WithString("label"))
	f.long("failing_job", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("the job has failed"), nil
	})
	f.long("protocol_error_job", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, errors.New("the server has failed")
	})
	yes := func(question string) mcp.ElicitationParams {
		return schemaForm(question, map[string]any{"confirm": map[string]any{"type": "boolean"}}, []string{"confirm"})
	}
	f.long("confirm_delete", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if server.ElicitationResponse(r.Params.InputResponses, "confirm") != nil {
			return text("deleted"), nil
		}
		return server.NewInputRequestBuilder("").Elicit("confirm", yes("Delete it?")).ToolResult(), nil
	}, mcp.WithString("filename"))
	f.long("multi_input", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if server.ElicitationResponse(r.Params.InputResponses, "one") != nil && server.ElicitationResponse(r.Params.InputResponses, "two") != nil {
			return text("both are there"), nil
		}
		return server.NewInputRequestBuilder("").Elicit("one", yes("One?")).Elicit("two", yes("Two?")).ToolResult(), nil
	})
}

// long is a tool that can be called as a task.
func (f *Fixture) long(name string, h handler, options ...mcp.ToolOption) {
	f.tool(name, "Takes its time.", h, append(options, mcp.WithTaskSupport(mcp.TaskSupportOptional))...)
}
