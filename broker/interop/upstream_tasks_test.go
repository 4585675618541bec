package interop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// The everything server researches as a task only, and asks what is meant: a client that knows nothing of
// tasks gets the question and the report, and it is one call.
func TestTasksOfUpstreamsAreCallsToClients(t *testing.T) { //nolint:tparallel // the history is read when both clients have left
	t.Parallel()
	node, server := need.Env(t, need.Node), need.Env(t, need.MCPEverything)
	s := start(t, fmt.Sprintf("  everything: { domain: work, command: [%q, %q] }\n", node, server), everything+
		`permit (principal in Role::"lead", action == Action::"read", resource);`)
	t.Run("clients", func(t *testing.T) {
		for _, version := range []string{legacy, modern} {
			t.Run(version, func(t *testing.T) {
				t.Parallel()
				a := answering{asked: make(chan string, 8)}
				c := s.connect(t, "/mcp", version, client.WithElicitationHandler(a))
				var r mcp.CallToolRequest
				r.Params.Name, r.Params.Arguments = "everything__simulate-research-query", map[string]any{"topic": "python " + version, "ambiguous": true}
				result, err := c.CallTool(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(result.Content); !strings.Contains(got, "Research Report: python "+version+" (") || result.IsError {
					t.Errorf("it answers %s", got)
				}
				if asked := <-a.asked; !strings.Contains(asked, "python "+version) {
					t.Errorf("it asked %q", asked)
				}
			})
		}
	})
	if calls := s.until(t, "everything.simulate-research-query", 2); len(calls) != 2 || calls[0].Outcome != "result" || calls[1].Outcome != "result" {
		t.Errorf("recorded as %v, want two results", calls)
	}
}
