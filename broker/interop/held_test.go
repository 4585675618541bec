package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
)

const held = `
permit (principal in Role::"support", action in Action::"fixture", resource);
permit (principal in Role::"assistant", action in Action::"fixture", resource);
permit (principal in Role::"lead", action in [Action::"approve", Action::"read"], resource);
@id("look-first") @approvers("lead") @reason("A lead looks first.")
forbid (principal, action in Action::"fixture", resource) unless { context.approvals.count >= 1 };
`

// approve has bob approve a call, as the console would.
func (s *stack) approve(t *testing.T, callID string) {
	t.Helper()
	bob := s.issuer.Token(s.issuer.PersonClaims("bob", "console", "lead"))
	var seen struct {
		Digest string `json:"digest"`
	}
	if status := s.api(t, bob, http.MethodGet, "/v1/calls/"+callID, nil, &seen); status != http.StatusOK || seen.Digest == "" {
		t.Errorf("look at the call: HTTP %d", status)
	}
	if status := s.api(t, bob, http.MethodPost, "/v1/calls/"+callID+"/approvals", map[string]string{"verdict": "approve", "digest": seen.Digest}, nil); status >= 300 {
		t.Errorf("approve: HTTP %d", status)
	}
}

func (s *stack) api(t *testing.T, token, method, at string, body, result any) (status int) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Error(err)
	}
	// What is decided may end the test that waits for it, before this request has its answer.
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, s.url+at, bytes.NewReader(text))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	if result != nil {
		if err := json.NewDecoder(response.Body).Decode(result); err != nil {
			t.Error(err)
		}
	}
	return response.StatusCode
}

// onLook is a person before the client: shown a held call, another one approves it;
// asked by the tool, they say yes.
type onLook struct {
	approve func(callID string)
	modes   chan string
}

func (s *stack) onLook(t *testing.T) onLook {
	t.Helper()
	var deciding sync.WaitGroup
	t.Cleanup(deciding.Wait)
	return onLook{modes: make(chan string, 8), approve: func(id string) {
		deciding.Add(1)
		defer deciding.Done()
		s.approve(t, id)
	}}
}

func (p onLook) Elicit(_ context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	link := r.Params.URL
	if link == "" {
		for line := range strings.Lines(r.Params.Message) {
			if strings.Contains(line, "/#/calls/") {
				link = strings.TrimSpace(line)
			}
		}
	}
	var result mcp.ElicitationResult
	result.Action = mcp.ElicitationResponseActionAccept
	if link == "" {
		p.modes <- "tool"
		result.Content = map[string]any{"username": "u", "email": "e"}
		return &result, nil
	}
	p.modes <- r.Params.Mode
	p.approve(path.Base(link))
	return &result, nil
}

// Every row of the table in the endpoint's documentation, with a real client.
func TestHeldCallsForEveryClient(t *testing.T) {
	t.Parallel()
	s := start(t, fixtures(t), held)
	capable := func(form, byURL bool) client.ClientOption {
		var c mcp.ClientCapabilities
		c.Elicitation = &mcp.ElicitationCapability{}
		if form {
			c.Elicitation.Form = &struct{}{}
		}
		if byURL {
			c.Elicitation.URL = &struct{}{}
		}
		return client.WithClientCapabilities(c)
	}
	for name, test := range map[string]struct {
		version     string
		form, byURL bool
		mode        string
		tool, want  string // another one each: the same call would be the same held call
	}{
		"2026-07-28, elicitation by URL": {modern, true, true, "url", "test_simple_text", "simple text response"},
		"2026-07-28, forms":              {modern, true, false, "form", "test_embedded_resource", "embedded resource"},
		"2025-11-25, elicitation by URL": {legacy, true, true, "url", "test_multiple_content_types", "Multiple content types"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.onLook(t)
			c := s.connect(t, "/mcp/fixture", test.version, client.WithElicitationHandler(p), capable(test.form, test.byURL))
			if got := s.call(t, c, test.tool, nil); !strings.Contains(got, test.want) {
				t.Errorf("the approved call answers %s", got)
			}
			if mode := <-p.modes; mode != test.mode {
				t.Errorf("shown by %q, want %q", mode, test.mode)
			}
		})
	}
	t.Run("progress", func(t *testing.T) {
		t.Parallel()
		for _, version := range []string{legacy, modern} {
			c := s.connect(t, "/mcp/fixture", version)
			told := make(chan string, 64)
			c.OnNotification(func(n mcp.JSONRPCNotification) {
				if message, ok := n.Params.AdditionalFields["message"].(string); ok && n.Method == "notifications/progress" {
					told <- message
				}
			})
			done := make(chan struct{})
			go func() {
				defer close(done)
				if message := <-told; !strings.Contains(message, "waiting for approval by lead") {
					t.Errorf("told %q", message)
				}
				s.approveAny(t, "fixture.test_image_content")
			}()
			if got := s.call(t, c, "test_image_content", nil); !strings.Contains(got, "image/png") {
				t.Errorf("%s: the approved call answers %s", version, got)
			}
			<-done
		}
	})
	t.Run("a pending answer", func(t *testing.T) {
		t.Parallel()
		c := s.connect(t, "/mcp/fixture", legacy)
		got := s.call(t, c, "test_audio_content", nil)
		if !strings.Contains(got, "held: the call of fixture.test_audio_content waits for approval by lead") {
			t.Fatalf("answered %s", got)
		}
		id := s.approveAny(t, "fixture.test_audio_content")
		if got := s.call(t, c, "deed__await", map[string]any{"call_id": id}); !strings.Contains(got, "audio/wav") {
			t.Errorf("awaited, it answers %s", got)
		}
	})
	t.Run("a tool that asks, held", func(t *testing.T) {
		t.Parallel()
		p := s.onLook(t)
		c := s.connect(t, "/mcp/fixture", legacy, client.WithElicitationHandler(p), capable(true, true))
		if got := s.call(t, c, "test_elicitation", map[string]any{"message": "m"}); !strings.Contains(got, "accept") {
			t.Errorf("approved half-way, it answers %s", got)
		}
		if one, two := <-p.modes, <-p.modes; one != "url" || two != "tool" {
			t.Errorf("asked %s, then %s", one, two)
		}
	})
}

func (s *stack) call(t *testing.T, c *client.Client, tool string, arguments map[string]any) string {
	t.Helper()
	var r mcp.CallToolRequest
	r.Params.Name, r.Params.Arguments = tool, arguments
	r.Params.Meta = &mcp.Meta{ProgressToken: "token-" + tool}
	result, err := c.CallTool(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(result.Content)
}

// approveAny approves the one held call of a tool, and gives its id.
func (s *stack) approveAny(t *testing.T, tool string) string {
	t.Helper()
	var list struct {
		Items []struct {
			CallID string `json:"call_id"`
		} `json:"items"`
	}
	bob := s.issuer.Token(s.issuer.PersonClaims("bob", "console", "lead"))
	if s.api(t, bob, http.MethodGet, "/v1/calls?state=held&tool="+tool, nil, &list); len(list.Items) == 0 {
		t.Error("no held call of " + tool)
		return ""
	}
	s.approve(t, list.Items[0].CallID)
	return list.Items[0].CallID
}
