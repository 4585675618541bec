package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools/upstream/upstreamtest"
)

const (
	legacy = mcp.ProtocolVersion20251125
	modern = mcp.ProtocolVersion20260728

	guarded = `
permit (principal in Role::"support", action in [Action::"fixture", Action::"older"], resource);
permit (principal in Role::"assistant", action in [Action::"fixture", Action::"older"], resource);
permit (principal in Role::"lead", action == Action::"read", resource);
@id("no-binaries") @reason("Binaries stay where they are.")
forbid (principal, action == Action::"fixture.read_resource", resource) when { context.input.uri like "*binary*" };
@id("no-images") forbid (principal, action == Action::"fixture.get_prompt", resource) when { context.input.name == "test_prompt_with_image" };
`
)

// answering is a person and a model who say yes to everything.
type answering struct{ asked chan string }

func (a answering) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	a.asked <- r.Params.Message
	var result mcp.ElicitationResult
	result.Action, result.Content = mcp.ElicitationResponseActionAccept, map[string]any{"answer": "yes", "username": "u", "email": "e@example.com", "name": "n", "color": "c"}
	return &result, nil
}

func (a answering) CreateMessage(context.Context, mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	var result mcp.CreateMessageResult
	result.Role, result.Content, result.Model = mcp.RoleAssistant, mcp.NewTextContent("Paris"), "m"
	return &result, nil
}

func (a answering) ListRoots(context.Context, mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	return &mcp.ListRootsResult{Roots: []mcp.Root{{URI: "file:///home/ada/src", Name: "src"}}}, nil
}

// connect is an mcp-go client of a revision, of the agent for alice.
func (s *stack) connect(t *testing.T, path, version string, options ...client.ClientOption) *client.Client {
	t.Helper()
	return s.connectAs(t, path, version, s.token(), options...)
}

func (s *stack) connectAs(t *testing.T, path, version, token string, options ...client.ClientOption) *client.Client {
	t.Helper()
	to, err := transport.NewStreamableHTTP(s.url+path, transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + token}))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(to, options...)
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var r mcp.InitializeRequest
	r.Params.ProtocolVersion, r.Params.ClientInfo = version, mcp.Implementation{Name: "tester", Version: "1"}
	if _, err := c.Initialize(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return c
}

// calls are the recorded calls of a tool, as bob reads them, the latest first.
func (s *stack) calls(t *testing.T, tool string) []recorded {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/calls?tool="+tool, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.issuer.Token(s.issuer.PersonClaims("bob", "console", "lead")))
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []recorded `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d: %s", response.StatusCode, body)
	}
	return list.Items
}

type recorded struct {
	State   string `json:"state"`
	Outcome string `json:"outcome"`
	Code    string `json:"code"`
}

// until waits until the history has n calls of a tool that are over.
func (s *stack) until(t *testing.T, tool string, n int) []recorded {
	t.Helper()
	var calls []recorded
	eventually(t, fmt.Sprintf("%d calls of %s in the history", n, tool), func() bool {
		calls = s.calls(t, tool)
		over := 0
		for _, c := range calls {
			if c.State == "closed" {
				over++
			}
		}
		return over >= n
	})
	return calls
}

// Each generation of clients before each generation of servers: a question reaches
// who called, the answer the tool, and all of it is one call.
func TestQuestionsCrossGenerations(t *testing.T) {
	s := start(t, fixtures(t), guarded)
	for _, version := range []string{legacy, modern} {
		for _, upstream := range []string{"fixture", "older"} {
			t.Run(version+" over "+upstream, func(t *testing.T) {
				a := answering{asked: make(chan string, 8)}
				c := s.connect(t, "/mcp/"+upstream, version, client.WithElicitationHandler(a), client.WithSamplingHandler(a), client.WithRootsHandler(a))
				call := func(tool string, arguments map[string]any) string {
					var r mcp.CallToolRequest
					r.Params.Name, r.Params.Arguments = tool, arguments
					result, err := c.CallTool(t.Context(), r)
					if err != nil {
						t.Fatal(err)
					}
					return fmt.Sprint(result.Content)
				}
				if got := call("test_elicitation", map[string]any{"message": "Who for " + version + "?"}); !strings.Contains(got, "accept") || !strings.Contains(got, "e@example.com") {
					t.Errorf("elicitation: %s", got)
				}
				if asked := <-a.asked; asked != "Who for "+version+"?" {
					t.Errorf("asked %q", asked)
				}
				if got := call("test_sampling", map[string]any{"prompt": "Capital?"}); !strings.Contains(got, "Paris") {
					t.Errorf("sampling: %s", got)
				}
				if got := call("test_input_required_result_list_roots", nil); !strings.Contains(got, "file:///home/ada/src") {
					t.Errorf("roots: %s", got)
				}
				if got := call("test_input_required_result_multi_round", nil); !strings.Contains(got, "both steps") {
					t.Errorf("several rounds: %s", got)
				}
			})
		}
	}
	for _, upstream := range []string{"fixture", "older"} {
		for _, tool := range []string{"test_elicitation", "test_sampling", "test_input_required_result_list_roots", "test_input_required_result_multi_round"} {
			if calls := s.until(t, upstream+"."+tool, 2); len(calls) != 2 || calls[0].Outcome != "result" {
				t.Errorf("%s.%s was recorded as %v, want two results", upstream, tool, calls)
			}
		}
	}
}

// Resources and prompts are permitted, refused and recorded like calls of tools, and keep their own names.
func TestResourcesAndPromptsAreGoverned(t *testing.T) {
	s := start(t, fixtures(t), guarded)
	for _, version := range []string{legacy, modern} {
		t.Run(version, func(t *testing.T) {
			own, all := s.connect(t, "/mcp/fixture", version), s.connect(t, "/mcp", version)
			for c, uri := range map[*client.Client]string{own: "test://static-text", all: "fixture+test://static-text"} {
				listed, err := c.ListResources(t.Context(), mcp.ListResourcesRequest{})
				if err != nil {
					t.Fatal(err)
				}
				if names := fmt.Sprint(listed.Resources); !strings.Contains(names, uri) || strings.Contains(names, "test://static-binary") && c == own {
					t.Errorf("resources %s", names)
				}
				var r mcp.ReadResourceRequest
				r.Params.URI = uri
				if got, err := c.ReadResource(t.Context(), r); err != nil || !strings.Contains(fmt.Sprint(got.Contents), "static text resource") {
					t.Errorf("%s: %v, %v", uri, got, err)
				}
				r.Params.URI = strings.Replace(uri, "static-text", "static-binary", 1)
				if got, err := c.ReadResource(t.Context(), r); err == nil || !strings.Contains(err.Error(), "Binaries stay") {
					t.Errorf("what policy forbids: %v, %v", got, err)
				}
			}
			for c, name := range map[*client.Client]string{own: "test_prompt_with_arguments", all: "older__test_prompt_with_arguments"} {
				var p mcp.GetPromptRequest
				p.Params.Name, p.Params.Arguments = name, map[string]string{"arg1": "one", "arg2": "two"}
				if got, err := c.GetPrompt(t.Context(), p); err != nil || !strings.Contains(fmt.Sprint(got.Messages), "arg1='one', arg2='two'") {
					t.Errorf("%s: %v, %v", name, got, err)
				}
			}
			var p mcp.GetPromptRequest
			p.Params.Name = "test_prompt_with_image"
			if got, err := own.GetPrompt(t.Context(), p); err == nil || !strings.Contains(err.Error(), "no-images") {
				t.Errorf("a forbidden prompt: %v, %v", got, err)
			}
			var complete mcp.CompleteRequest
			complete.Params.Ref = mcp.PromptReference{Type: "ref/prompt", Name: "fixture__test_prompt_with_arguments"}
			complete.Params.Argument = mcp.CompleteArgument{Name: "arg1", Value: "park"}
			if got, err := all.Complete(t.Context(), complete); err != nil || fmt.Sprint(got.Completion.Values) != "[parking parked]" {
				t.Errorf("completion: %v, %v", got, err)
			}
		})
	}
	outcomes := map[string]int{}
	for _, c := range s.until(t, "fixture.read_resource", 8) {
		outcomes[c.Outcome]++
	}
	if outcomes["result"] != 4 || outcomes["denied"] != 4 {
		t.Errorf("recorded %v, want 4 results and 4 denials", outcomes)
	}
}

// A subscriber hears of the resource by the name that it knows, whatever it speaks.
func TestSubscriptionsReachWhoAskedForThem(t *testing.T) {
	t.Parallel()
	f := newFixtureServer(t, upstreamtest.Legacy()...)
	s := start(t, "  fixture: { domain: work, url: "+f.URL+"/mcp }\n", everything)
	heard := make(chan string, 64)
	listen := func(n mcp.JSONRPCNotification) {
		if n.Method == mcp.MethodNotificationResourceUpdated {
			heard <- fmt.Sprint(n.Params.AdditionalFields["uri"])
		}
	}
	to, err := transport.NewStreamableHTTP(s.url+"/mcp", transport.WithContinuousListening(), //nolint:staticcheck // the stream of the older generation
		transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + s.token()}))
	if err != nil {
		t.Fatal(err)
	}
	old := client.NewClient(to)
	t.Cleanup(func() { _ = old.Close() })
	old.OnNotification(listen)
	if err := old.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Initialize(t.Context(), mcp.InitializeRequest{}); err != nil {
		t.Fatal(err)
	}
	var r mcp.SubscribeRequest
	r.Params.URI = "fixture+test://watched-resource"
	if err := old.Subscribe(t.Context(), r); err != nil { //nolint:staticcheck // as above
		t.Fatal(err)
	}
	now := s.connect(t, "/mcp/fixture", modern)
	now.OnNotification(listen)
	stop, err := now.ListenAsync(t.Context(), mcp.SubscriptionFilter{ResourceSubscriptions: []string{"test://watched-resource"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	told := map[string]bool{}
	eventually(t, "both subscribers have heard", func() bool {
		f.MCP.SendNotificationToAllClients(mcp.MethodNotificationResourceUpdated, map[string]any{"uri": "test://watched-resource"})
		for {
			select {
			case uri := <-heard:
				told[uri] = true
				continue
			default:
			}
			return told["fixture+test://watched-resource"] && told["test://watched-resource"]
		}
	})
}
