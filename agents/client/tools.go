package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

const maxPages = 100 // of a list of tools

// Tool is a tool that the caller could call with some arguments.
type Tool struct {
	Name        string // on the wire: upstream__tool
	Title       string
	Description string
	InputSchema json.RawMessage
	Raw         json.RawMessage // the definition as its upstream gave it, but for the name
}

// Tools lists what can be called, the broker's own deed__await included. Its error is an
// [*Error], or that of ctx.
func (c *Client) Tools(ctx context.Context) ([]Tool, error) {
	var tools []Tool
	known := map[string]*mcp.Tool{}
	cursor := ""
	for range maxPages {
		var page struct {
			Tools      []json.RawMessage `json:"tools"`
			NextCursor string            `json:"nextCursor"`
		}
		raw, err := c.send(ctx, mcp.MethodToolsList, func(version string) (json.RawMessage, http.Header, error) {
			params, err := json.Marshal(listParams{cursor, c.meta(version)})
			return params, http.Header{}, err
		}, Unreachable)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, &Error{Kind: Internal, Message: "the answer is no list of tools", Err: err}
		}
		for _, definition := range page.Tools {
			t, typed, err := parseTool(definition)
			if err != nil {
				return nil, &Error{Kind: Internal, Message: "the list has a definition that is none", Err: err}
			}
			tools = append(tools, t)
			known[t.Name] = typed
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = known
	return tools, nil
}

type listParams struct {
	Cursor string         `json:"cursor,omitempty"`
	Meta   map[string]any `json:"_meta,omitempty"`
}

// parseTool reads a definition, and how its arguments go into headers.
func parseTool(raw json.RawMessage) (Tool, *mcp.Tool, error) {
	var d struct {
		Name        string          `json:"name"`
		Title       string          `json:"title"`
		Description string          `json:"description"`
		InputSchema json.RawMessage `json:"inputSchema"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return Tool{}, nil, err
	}
	var typed mcp.Tool
	if err := json.Unmarshal(raw, &typed); err != nil {
		return Tool{}, nil, err
	}
	return Tool{Name: d.Name, Title: d.Title, Description: d.Description, InputSchema: d.InputSchema, Raw: raw}, &typed, nil
}
