package upstreamtest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// form asks for strings.
func form(message string, fields ...string) mcp.ElicitationParams {
	properties := map[string]any{}
	for _, name := range fields {
		properties[name] = map[string]any{"type": "string", "description": "An answer."}
	}
	return schemaForm(message, properties, fields)
}

func schemaForm(message string, properties map[string]any, required []string) mcp.ElicitationParams {
	return mcp.ElicitationParams{Message: message, RequestedSchema: map[string]any{"type": "object", "properties": properties, "required": required}}
}

func sample(prompt string) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{
		Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(prompt)}},
		MaxTokens: 100,
	}
}

// addAskers adds the tools that ask one thing and tell what was said.
func (f *Fixture) addAskers() {
	f.asker("test_elicitation", func(r mcp.CallToolRequest) mcp.ElicitationParams {
		return form(r.GetString("message", ""), "username", "email")
	}, "User response: %s", mcp.WithString("message", mcp.Required()))
	f.asker("test_streaming_elicitation", fixed(form("Go on?", "answer")), "said: %s")
	f.asker("test_elicitation_sep1034_defaults", fixed(schemaForm("Defaults", map[string]any{
		"name":     map[string]any{"type": "string", "default": "John Doe"},
		"age":      map[string]any{"type": "integer", "default": 30},
		"score":    map[string]any{"type": "number", "default": 95.5},
		"status":   map[string]any{"type": "string", "enum": []string{"active", "inactive", "pending"}, "default": "active"},
		"verified": map[string]any{"type": "boolean", "default": true},
	}, []string{})), "Elicitation completed: %s")
	titled := func(noun string) []map[string]any {
		return []map[string]any{
			{"const": "value1", "title": "First " + noun}, {"const": "value2", "title": "Second " + noun}, {"const": "value3", "title": "Third " + noun},
		}
	}
	options := []string{"option1", "option2", "option3"}
	f.asker("test_elicitation_sep1330_enums", fixed(schemaForm("Enums", map[string]any{
		"untitledSingle": map[string]any{"type": "string", "enum": options},
		"titledSingle":   map[string]any{"type": "string", "oneOf": titled("Option")},
		"legacyEnum":     map[string]any{"type": "string", "enum": []string{"opt1", "opt2", "opt3"}, "enumNames": []string{"Option One", "Option Two", "Option Three"}},
		"untitledMulti":  map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": options}},
		"titledMulti":    map[string]any{"type": "array", "items": map[string]any{"anyOf": titled("Choice")}},
	}, []string{})), "Elicitation completed: %s")
	f.tool("test_sampling", "Asks a model.", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if said := server.SamplingResponse(r.Params.InputResponses, "sample"); said != nil {
			return text("LLM response: " + asJSON(said.Content)), nil
		}
		return server.NewInputRequestBuilder("").Sample("sample", sample(r.GetString("prompt", ""))).ToolResult(), nil
	}, mcp.WithString("prompt", mcp.Required()))
}

func fixed(p mcp.ElicitationParams) func(mcp.CallToolRequest) mcp.ElicitationParams {
	return func(mcp.CallToolRequest) mcp.ElicitationParams { return p }
}

func (f *Fixture) asker(name string, ask func(mcp.CallToolRequest) mcp.ElicitationParams, format string, options ...mcp.ToolOption) {
	f.tool(name, "Asks its user.", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if said := server.ElicitationResponse(r.Params.InputResponses, "asked"); said != nil {
			return text(fmt.Sprintf(format, fmt.Sprintf("action=%s, content=%s", said.Action, asJSON(said.Content)))), nil
		}
		return server.NewInputRequestBuilder("").Elicit("asked", ask(r)).ToolResult(), nil
	}, options...)
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// states signs what a client is to bring back.
type states struct{ key []byte }

func newStates() *states { return &states{key: []byte(rand.Text())} }

func (s *states) sign(state string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(state))
	return state + "." + hex.EncodeToString(mac.Sum(nil))
}

var errTampered = errors.New("the request state fails its integrity check")

func (s *states) open(signed string) (string, error) {
	state, _, _ := strings.Cut(signed, ".")
	if !hmac.Equal([]byte(s.sign(state)), []byte(signed)) {
		return "", errTampered
	}
	return state, nil
}

// addRounds adds the tools of the suite that ask in several ways.
func (f *Fixture) addRounds() {
	signed := newStates()
	f.round("elicitation", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if said := server.ElicitationResponse(r.Params.InputResponses, "user_name"); said != nil {
			return text("Hello, " + asJSON(said.Content) + "!"), nil
		}
		return server.NewInputRequestBuilder("").Elicit("user_name", form("What is your name?", "name")).ToolResult(), nil
	})
	f.round("sampling", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if said := server.SamplingResponse(r.Params.InputResponses, "capital_question"); said != nil {
			return text(asJSON(said.Content)), nil
		}
		return server.NewInputRequestBuilder("").Sample("capital_question", sample("What is the capital of France?")).ToolResult(), nil
	})
	f.round("list_roots", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if said := server.RootsResponse(r.Params.InputResponses, "client_roots"); said != nil {
			return text(asJSON(said.Roots)), nil
		}
		return server.NewInputRequestBuilder("").Roots("client_roots").ToolResult(), nil
	})
	confirm := func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if server.ElicitationResponse(r.Params.InputResponses, "confirm") == nil {
			return server.NewInputRequestBuilder(signed.sign("one")).Elicit("confirm", schemaForm("Please confirm",
				map[string]any{"ok": map[string]any{"type": "boolean"}}, []string{"ok"})).ToolResult(), nil
		}
		if _, err := signed.open(r.Params.RequestState); err != nil {
			return nil, err
		}
		return text("state-ok"), nil
	}
	f.round("request_state", confirm)
	f.round("tampered_state", confirm)
	f.round("multiple_inputs", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		answers := r.Params.InputResponses
		if server.ElicitationResponse(answers, "user_name") != nil && server.SamplingResponse(answers, "greeting") != nil && server.RootsResponse(answers, "client_roots") != nil {
			return text("all there"), nil
		}
		return server.NewInputRequestBuilder(signed.sign("all")).Elicit("user_name", form("What is your name?", "name")).
			Sample("greeting", sample("Generate a greeting")).Roots("client_roots").ToolResult(), nil
	})
	f.round("multi_round", func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		state := ""
		if r.Params.RequestState != "" {
			var err error
			if state, err = signed.open(r.Params.RequestState); err != nil {
				return nil, err
			}
		}
		switch state {
		case "":
			return server.NewInputRequestBuilder(signed.sign("1")).Elicit("step1", form("Step 1: What is your name?", "name")).ToolResult(), nil
		case "1":
			return server.NewInputRequestBuilder(signed.sign("2")).Elicit("step2", form("Step 2: What is your favorite color?", "color")).ToolResult(), nil
		default:
			return text("both steps are done"), nil
		}
	})
	f.round("capabilities", func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		b := server.NewInputRequestBuilder("")
		if info := server.RequestProtocolInfoFromContext(ctx); info == nil || info.ClientCapabilities == nil || info.ClientCapabilities.Elicitation != nil {
			b.Elicit("name", form("What is your name?", "name"))
		}
		return b.Sample("greeting", sample("Generate a greeting")).ToolResult(), nil
	})
}

func (f *Fixture) round(name string, h handler) {
	f.tool("test_input_required_result_"+name, "Asks before it answers.", h)
}
