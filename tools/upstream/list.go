package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

const (
	maxPages     = 100
	maxListBytes = 32 << 20
)

// list asks for all tools, raw, page by page.
func (s *session) list(ctx context.Context) ([]json.RawMessage, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.end()
	var all []json.RawMessage
	size := 0
	cursor := ""
	for range maxPages {
		page, err := s.page(ctx, mcp.MethodToolsList, cursor)
		if err != nil {
			return nil, fmt.Errorf("list tools: %w", err)
		}
		for _, raw := range page.Items {
			size += len(raw)
		}
		all = append(all, page.Items...)
		if len(all) > tools.MaxTools || size > maxListBytes {
			return nil, fmt.Errorf("list tools: more than %d tools or %d bytes", tools.MaxTools, maxListBytes)
		}
		if page.Next == "" {
			return s.keep(all), nil
		}
		if page.Next == cursor {
			return nil, errors.New("list tools: a page leads to itself")
		}
		cursor = page.Next
	}
	return nil, fmt.Errorf("list tools: more than %d pages", maxPages)
}

// page asks for one page of a listing.
func (s *session) page(ctx context.Context, method mcp.MCPMethod, cursor string) (tools.Page, error) {
	params, err := json.Marshal(listParams{cursor, s.meta()})
	if err != nil {
		return tools.Page{}, err
	}
	result, err := s.ask(ctx, method, params)
	if err != nil {
		return tools.Page{}, err
	}
	var p struct {
		Tools     []json.RawMessage `json:"tools"`
		Resources []json.RawMessage `json:"resources"`
		Templates []json.RawMessage `json:"resourceTemplates"`
		Prompts   []json.RawMessage `json:"prompts"`
		Next      string            `json:"nextCursor"`
	}
	if err := jsonv2.Unmarshal(result, &p); err != nil {
		return tools.Page{}, errAnswer
	}
	page := tools.Page{Next: p.Next}
	switch method {
	case mcp.MethodToolsList:
		page.Items = p.Tools
	case mcp.MethodResourcesList:
		page.Items = p.Resources
	case mcp.MethodResourcesTemplatesList:
		page.Items = p.Templates
	case mcp.MethodPromptsList:
		page.Items = p.Prompts
	default:
	}
	return page, nil
}

// ask sends a request that is no call and gives its result.
func (s *session) ask(ctx context.Context, method mcp.MCPMethod, params json.RawMessage) (json.RawMessage, error) {
	ctx, sent := traced(ctx, s.http)
	request := s.request(method, params)
	response, err := s.client.GetTransport().SendRequest(ctx, request)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, s.failure(err, sent.Load())
	}
	if err := matches(request, response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, refusal(response.Error)
	}
	return response.Result, nil
}

// keep remembers the tools whose arguments are repeated in headers, and leaves out
// those whose annotations for it are invalid, as an HTTP client must since
// revision 2026-07-28 (SEP-2243).
func (s *session) keep(all []json.RawMessage) []json.RawMessage {
	if !s.http || !mcp.IsModernProtocol(s.version) {
		return all
	}
	known := map[string]*mcp.Tool{}
	kept := make([]json.RawMessage, 0, len(all))
	for _, raw := range all {
		tool, err := headerTool(raw)
		if err != nil {
			continue
		}
		kept = append(kept, raw)
		if len(mcp.ExtractParamHeaderBindings(tool)) > 0 {
			known[tool.Name] = tool
		}
	}
	s.tools.Store(&known)
	return kept
}

// headerTool is a definition as mcp-go reads it for headers. One that it cannot read has none.
func headerTool(raw json.RawMessage) (*mcp.Tool, error) {
	d, err := tools.ParseDefinition(raw)
	if err != nil {
		return &mcp.Tool{}, nil //nolint:nilerr // the registry says what is wrong with it
	}
	tool := &mcp.Tool{Name: d.Name, RawInputSchema: d.InputSchema}
	return tool, mcp.ValidateParamHeaderAnnotations(tool)
}
