package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"

	official "github.com/modelcontextprotocol/go-sdk/mcp"
)

// use lists and calls all that the server has.
func (c *scenarioClient) use(ctx context.Context) error {
	session, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }() // nothing hangs on it
	listed, err := session.ListTools(ctx, nil)
	if err != nil {
		return err
	}
	for _, call := range c.calls(listed.Tools) {
		result, err := session.CallTool(ctx, call)
		if err != nil {
			return fmt.Errorf("call %s: %w", call.Name, err)
		}
		if text, _ := json.Marshal(result.Content); result.IsError && strings.Contains(string(text), loginHint) {
			return fmt.Errorf("call %s: %s", call.Name, text)
		}
	}
	return c.read(ctx, session)
}

// calls are one of each tool, with the arguments that the suite or the tool asks for.
func (c *scenarioClient) calls(listed []*official.Tool) []*official.CallToolParams {
	var calls []*official.CallToolParams
	if len(c.told.Calls) > 0 {
		for _, call := range c.told.Calls {
			// The suite sends null for what its schema says is a boolean, to see that a parameter without a
			// value has no header. The broker takes nothing that does not fit the schema, so it is left out.
			maps.DeleteFunc(call.Arguments, func(_ string, value any) bool { return value == nil })
			calls = append(calls, &official.CallToolParams{Name: call.Name, Arguments: call.Arguments})
		}
		return calls
	}
	schemas := map[string]any{}
	for _, tool := range listed {
		schemas[tool.Name] = tool.InputSchema
	}
	for _, tool := range listed {
		arguments := map[string]any{}
		switch {
		case strings.HasPrefix(tool.Name, "deed__"), tool.Name == "json_schema_2020_12_tool": // the broker's own, and one to be looked at
			continue
		case tool.Name == "add_numbers":
			arguments = map[string]any{"a": 5, "b": 3}
		case tool.Name == "json_schema_echo":
			arguments["schema"] = schemas["json_schema_2020_12_tool"]
		case os.Getenv(scenarioVar) == "http-invalid-tool-headers":
			arguments["region"] = "us-west1"
		}
		calls = append(calls, &official.CallToolParams{Name: tool.Name, Arguments: arguments})
	}
	return calls
}

// read reads a resource and a prompt, if there are any.
func (c *scenarioClient) read(ctx context.Context, session *official.ClientSession) error {
	capabilities := session.InitializeResult().Capabilities
	if capabilities.Resources != nil {
		resources, err := session.ListResources(ctx, nil)
		if err != nil {
			return err
		}
		for _, r := range resources.Resources {
			if _, err := session.ReadResource(ctx, &official.ReadResourceParams{URI: r.URI}); err != nil {
				return err
			}
		}
	}
	if capabilities.Prompts != nil {
		prompts, err := session.ListPrompts(ctx, nil)
		if err != nil {
			return err
		}
		for _, p := range prompts.Prompts {
			if _, err := session.GetPrompt(ctx, &official.GetPromptParams{Name: p.Name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *scenarioClient) connect(ctx context.Context) (*official.ClientSession, error) {
	client := official.NewClient(&official.Implementation{Name: "scenario", Version: "1"}, &official.ClientOptions{
		Capabilities: &official.ClientCapabilities{Elicitation: &official.ElicitationCapabilities{}},
		ElicitationHandler: func(_ context.Context, r *official.ElicitRequest) (*official.ElicitResult, error) {
			content := map[string]any{}
			if strings.Contains(os.Getenv(scenarioVar), "request-state") {
				content["confirmed"] = true
			}
			return &official.ElicitResult{Action: "accept", Content: content}, nil
		},
	})
	return client.Connect(ctx, &official.StreamableClientTransport{
		Endpoint: c.url + "/mcp/scenario", HTTPClient: &http.Client{Transport: bearer(c.token())},
	}, nil)
}

type bearer string

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}
