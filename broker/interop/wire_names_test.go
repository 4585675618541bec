package interop_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// suitsModels is what the APIs of models take for a tool's name.
var suitsModels = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// Two servers with the same tools, among them some whose names have dots or are too long: at /mcp each has a name
// of its own that models take, in either generation, and under it the tool of the server that is meant.
func TestNamesOfTwinsSuitModels(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 120)
	names := []string{"echo", "files.read", "a/b", "c.d", long + "-1", long + "-2"}
	upstreams := ""
	for _, twin := range []string{"castor", "pollux"} {
		s := server.NewMCPServer(twin, "1")
		for _, name := range names {
			s.AddTool(mcp.NewTool(name), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return mcp.NewToolResultText(name + " of " + twin), nil
			})
		}
		h := httptest.NewServer(server.NewStreamableHTTPServer(s))
		t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
		upstreams += fmt.Sprintf("  %s: { domain: work, url: %s/mcp }\n", twin, h.URL)
	}
	s := start(t, upstreams, `permit (principal, action, resource);`)
	for _, version := range []string{legacy, modern} {
		c := s.connect(t, "/mcp", version)
		listed, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]bool{}
		for _, tool := range listed.Tools {
			if !suitsModels.MatchString(tool.Name) {
				t.Errorf("%s: %q is no name for a model", version, tool.Name)
			}
			if tool.Name == "deed__await" {
				continue
			}
			var r mcp.CallToolRequest
			r.Params.Name = tool.Name
			result, err := c.CallTool(t.Context(), r)
			if err != nil || result.IsError || len(result.Content) != 1 {
				t.Fatalf("%s: %s: %+v, %v", version, tool.Name, result, err)
			}
			answer := fmt.Sprint(result.Content[0])
			twin, _, _ := strings.Cut(tool.Name, "__")
			if said[answer] || !strings.Contains(answer, " of "+twin) {
				t.Errorf("%s: %s answers %s", version, tool.Name, answer)
			}
			said[answer] = true
		}
		if len(said) != 2*len(names) {
			t.Errorf("%s: %d tools answered, want %d", version, len(said), 2*len(names))
		}
	}
}
