package interop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/tools/upstream/upstreamtest"
)

// TestEveryRevisionOverEveryRevision: a client of each revision of the protocol, over upstreams
// that speak one each, lists and calls tools, and is told of a tool's error, the same.
func TestEveryRevisionOverEveryRevision(t *testing.T) {
	t.Parallel()
	revisions := append(upstreamtest.Legacy(), modern)
	upstreams := ""
	for _, revision := range revisions {
		upstreams += fmt.Sprintf("  of-%s: { domain: work, url: %s/mcp }\n", revision, newFixtureServer(t, revision).URL)
	}
	s := start(t, upstreams, `permit (principal, action, resource);`)
	for _, of := range revisions {
		for _, over := range revisions {
			t.Run(of+" over "+over, func(t *testing.T) {
				t.Parallel()
				h := s.speaking(t, of, "/mcp/of-"+over)
				if listed := h.ask(t, "tools/list", "", ""); !strings.Contains(listed, `"test_simple_text"`) {
					t.Errorf("listed: %s", listed)
				}
				if said := h.ask(t, "tools/call", "test_simple_text", `"name":"test_simple_text","arguments":{}`); !strings.Contains(said, "simple text response") || strings.Contains(said, `"isError":true`) {
					t.Errorf("called: %s", said)
				}
				if said := h.ask(t, "tools/call", "test_error_handling", `"name":"test_error_handling","arguments":{}`); !strings.Contains(said, `"isError":true`) {
					t.Errorf("the tool's error: %s", said)
				}
			})
		}
	}
}

// Each client hears of a server's log what it asked for, whatever the server speaks: in the revisions with sessions for
// all its calls, since 2026-07-28 for the one that says so.
func TestLogsCrossGenerations(t *testing.T) { //nolint:tparallel // see below
	t.Parallel()
	s := start(t, fixtures(t), guarded)
	for _, over := range []string{"fixture", "older"} {
		for _, of := range []string{"2025-03-26", legacy, modern} {
			t.Run(of+" over "+over, func(t *testing.T) { // one after the other: mcp-go's server logs to any stream of a session
				h := s.speaking(t, of, "/mcp/"+over)
				for _, level := range []string{"error", "info"} {
					meta := ""
					if of == modern {
						meta = `,"_meta":{"io.modelcontextprotocol/logLevel":"` + level + `","io.modelcontextprotocol/protocolVersion":"` + modern + `","io.modelcontextprotocol/clientInfo":{"name":"hand","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
					} else {
						h.ask(t, "logging/setLevel", "", `"level":"`+level+`"`)
					}
					_, said := h.post(t, `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"test_tool_with_logging","arguments":{}`+meta+`}}`, h.headers("tools/call", "test_tool_with_logging"))
					if n := strings.Count(said, `"Tool processing data"`); (n == 1) != (level == "info") || !strings.Contains(said, `"id":2`) {
						t.Errorf("at level %s it says %s", level, said)
					}
				}
			})
		}
	}
}

// hand is a client that speaks one revision, by hand.
type hand struct {
	*stack
	path, revision, session string
}

// speaking opens a session where the revision has them.
func (s *stack) speaking(t *testing.T, revision, path string) *hand {
	t.Helper()
	h := &hand{stack: s, path: path, revision: revision}
	if revision == modern {
		return h
	}
	header, opened := h.post(t, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+revision+`","capabilities":{},"clientInfo":{"name":"hand","version":"1"}}}`, nil)
	if h.session = header.Get("Mcp-Session-Id"); h.session == "" || !strings.Contains(opened, `"protocolVersion":"`+revision+`"`) {
		t.Fatalf("initialize: %s", opened)
	}
	h.post(t, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, h.headers("", ""))
	return h
}

// headers go with a request of the revision.
func (h *hand) headers(method, name string) map[string]string {
	switch h.revision {
	case modern:
		return map[string]string{"Mcp-Protocol-Version": modern, "Mcp-Method": method, "Mcp-Name": name}
	case "2025-03-26": // which has no header for it
		return map[string]string{"Mcp-Session-Id": h.session}
	default:
		return map[string]string{"Mcp-Session-Id": h.session, "Mcp-Protocol-Version": h.revision}
	}
}

// ask sends a request, and gives its result.
func (h *hand) ask(t *testing.T, method, name, params string) string {
	t.Helper()
	if h.revision == modern {
		params = strings.TrimPrefix(params+`,"_meta":{"io.modelcontextprotocol/protocolVersion":"`+modern+`","io.modelcontextprotocol/clientInfo":{"name":"hand","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`, ",")
	}
	_, said := h.post(t, `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":{`+params+`}}`, h.headers(method, name))
	var answer struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal([]byte(said), &answer); err != nil || answer.Result == nil {
		t.Fatalf("%s: %s, %v", method, said, err)
	}
	return string(answer.Result)
}

func (h *hand) post(t *testing.T, body string, headers map[string]string) (http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+h.path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + h.token()}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for key, value := range headers {
		if value != "" {
			r.Header.Set(key, value)
		}
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	said, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("HTTP %d: %s, %v", response.StatusCode, said, err)
	}
	return response.Header, string(said)
}
