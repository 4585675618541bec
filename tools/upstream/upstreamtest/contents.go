package upstreamtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

const (
	png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	wav = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

	schema2020 = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",` +
		`"$defs":{"address":{"$anchor":"addressDef","type":"object","properties":{"street":{"type":"string"},"city":{"type":"string"}}}},` +
		`"properties":{"name":{"type":"string"},"address":{"$ref":"#/$defs/address"},"contactMethod":{"type":"string","enum":["phone","email"]},` +
		`"phone":{"type":"string"},"email":{"type":"string"}},"allOf":[{"anyOf":[{"required":["phone"]},{"required":["email"]}]}],` +
		`"if":{"properties":{"contactMethod":{"const":"phone"}},"required":["contactMethod"]},"then":{"required":["phone"]},` +
		`"else":{"required":["email"]},"additionalProperties":false}`

	pause = 20 * time.Millisecond // between the notifications of one call
)

func embedded(uri, mimeType, content string) mcp.EmbeddedResource {
	return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: mimeType, Text: content})
}

// addContents adds the tools that answer with the several kinds of content.
func (f *Fixture) addContents() {
	answers := map[string][]mcp.Content{
		"test_simple_text":       {mcp.NewTextContent("This is a simple text response for testing.")},
		"test_image_content":     {mcp.NewImageContent(png, "image/png")},
		"test_audio_content":     {mcp.NewAudioContent(wav, "audio/wav")},
		"test_embedded_resource": {embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")},
		"test_multiple_content_types": {
			mcp.NewTextContent("Multiple content types test:"), mcp.NewImageContent(png, "image/png"),
			embedded("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`),
		},
	}
	for name, content := range answers {
		f.tool(name, "Answers with fixed content.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: content}, nil
		})
	}
	// The suite takes the first tool for some checks, and calls it without arguments.
	f.tool("accept_anything", "Takes any arguments.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("accepted"), nil })
	f.tool("test_error_handling", "Always fails.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	f.MCP.AddTool(mcp.NewToolWithRawSchema("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", json.RawMessage(schema2020)),
		func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("ok"), nil })
	f.MCP.AddTool(mcp.NewToolWithRawSchema("test_headers", "Repeats an argument in a header.",
		json.RawMessage(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}},"required":["region"]}`)),
		func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return text(r.GetString("region", "")), nil
		})
	f.tool("test_missing_capability", "Needs sampling.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text("sampling is there"), nil
	})
}

// addTalkers adds the tools that say something while they run, or change what there is.
func (f *Fixture) addTalkers() {
	f.tool("test_tool_with_logging", "Logs three times.", f.log)
	f.tool("test_logging_tool", "Logs three times.", f.log)
	f.tool("test_tool_with_progress", "Tells of its progress.", func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for _, progress := range []float64{0, 50, 100} {
			if r.Params.Meta != nil && r.Params.Meta.ProgressToken != nil {
				params := map[string]any{"progressToken": r.Params.Meta.ProgressToken, "progress": progress, "total": 100.0}
				if err := f.MCP.SendNotificationToClient(ctx, "notifications/progress", params); err != nil {
					return nil, err
				}
			}
			if err := wait(ctx, pause); err != nil {
				return nil, err
			}
		}
		return text("done"), nil
	})
	f.tool("test_trigger_tool_change", "Adds a tool, or takes it away.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if f.toolChanges.Add(1)%2 == 0 {
			f.MCP.DeleteTools("test_coming_and_going")
		} else {
			f.tool("test_coming_and_going", "Is not always there.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("here"), nil })
		}
		return text("changed"), nil
	})
	f.tool("test_trigger_prompt_change", "Adds a prompt.", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		name := fmt.Sprintf("test_prompt_%d", f.promptChanges.Add(1))
		f.MCP.AddPrompt(mcp.NewPrompt(name, mcp.WithPromptDescription("Was added later.")), prompt(mcp.NewTextContent("added")))
		return text("changed"), nil
	})
}

func (f *Fixture) log(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for _, said := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		if err := f.MCP.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(mcp.LoggingLevelInfo, "fixture", said)); err != nil {
			return nil, err
		}
		if err := wait(ctx, pause); err != nil {
			return nil, err
		}
	}
	return text("logged"), nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Fixture) addResources() {
	add := func(uri, name, mimeType string, contents mcp.ResourceContents) {
		f.MCP.AddResource(mcp.NewResource(uri, name, mcp.WithResourceDescription("A resource for tests."), mcp.WithMIMEType(mimeType)),
			func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
				return []mcp.ResourceContents{contents}, nil
			})
	}
	add("test://static-text", "text", "text/plain", mcp.TextResourceContents{
		URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource.",
	})
	add("test://static-binary", "binary", "image/png", mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: png})
	add("test://watched-resource", "watched", "text/plain", mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "now"})
	f.MCP.AddResourceTemplate(mcp.NewResourceTemplate("test://template/{id}/data", "template",
		mcp.WithTemplateDescription("A template for tests."), mcp.WithTemplateMIMEType("application/json")),
		func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(r.Params.URI, "test://template/"), "/data")
			return []mcp.ResourceContents{mcp.TextResourceContents{
				URI: r.Params.URI, MIMEType: "application/json",
				Text: fmt.Sprintf(`{"id":%q,"templateTest":true,"data":"Data for ID: %s"}`, id, id),
			}}, nil
		})
}

func prompt(contents ...mcp.Content) server.PromptHandlerFunc {
	return func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		result := &mcp.GetPromptResult{Description: "A prompt for tests."}
		for _, c := range contents {
			result.Messages = append(result.Messages, mcp.NewPromptMessage(mcp.RoleUser, c))
		}
		return result, nil
	}
}

func (f *Fixture) addPrompts() {
	add := func(name string, h server.PromptHandlerFunc, arguments ...string) {
		options := []mcp.PromptOption{mcp.WithPromptDescription("A prompt for tests.")}
		for _, a := range arguments {
			options = append(options, mcp.WithArgument(a, mcp.ArgumentDescription("An argument."), mcp.RequiredArgument()))
		}
		f.MCP.AddPrompt(mcp.NewPrompt(name, options...), h)
	}
	add("test_simple_prompt", prompt(mcp.NewTextContent("This is a simple prompt for testing.")))
	add("test_prompt_with_arguments", func(ctx context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		said := fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", r.Params.Arguments["arg1"], r.Params.Arguments["arg2"])
		return prompt(mcp.NewTextContent(said))(ctx, r)
	}, "arg1", "arg2")
	add("test_prompt_with_embedded_resource", func(ctx context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return prompt(embedded(r.Params.Arguments["resourceUri"], "text/plain", "Embedded resource content for testing."),
			mcp.NewTextContent("Please process the embedded resource above."))(ctx, r)
	}, "resourceUri")
	add("test_prompt_with_image", prompt(mcp.NewImageContent(png, "image/png"), mcp.NewTextContent("Please analyze the image above.")))
	add("test_input_required_result_prompt", func(ctx context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		if said := server.ElicitationResponse(r.Params.InputResponses, "user_context"); said != nil {
			return prompt(mcp.NewTextContent(fmt.Sprint("context: ", said.Content)))(ctx, r)
		}
		return server.NewInputRequestBuilder("").Elicit("user_context", form("What context should the prompt use?", "context")).PromptResult(), nil
	})
}
