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
		page, err := s.page(ctx, cursor)
		if err != nil {
			return nil, fmt.Errorf("list tools: %w", err)
		}
		for _, raw := range page.Tools {
			size += len(raw)
		}
		all = append(all, page.Tools...)
		if len(all) > tools.MaxTools || size > maxListBytes {
			return nil, fmt.Errorf("list tools: more than %d tools or %d bytes", tools.MaxTools, maxListBytes)
		}
		if page.NextCursor == "" {
			return s.keep(all), nil
		}
		if page.NextCursor == cursor {
			return nil, errors.New("list tools: a page leads to itself")
		}
		cursor = page.NextCursor
	}
	return nil, fmt.Errorf("list tools: more than %d pages", maxPages)
}

type page struct {
	Tools      []json.RawMessage `json:"tools"`
	NextCursor string            `json:"nextCursor"`
}

func (s *session) page(ctx context.Context, cursor string) (page, error) {
	params, err := s.listParams(cursor)
	if err != nil {
		return page{}, err
	}
	ctx, sent := traced(ctx, s.http)
	request := s.request(mcp.MethodToolsList, params)
	response, err := s.client.GetTransport().SendRequest(ctx, request)
	if ctx.Err() != nil {
		return page{}, context.Cause(ctx)
	}
	if err != nil {
		return page{}, s.failure(err, sent.Load())
	}
	if err := matches(request, response); err != nil {
		return page{}, err
	}
	if response.Error != nil {
		return page{}, refusal(response.Error)
	}
	var p page
	if err := jsonv2.Unmarshal(response.Result, &p); err != nil {
		return page{}, errAnswer
	}
	return p, nil
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
