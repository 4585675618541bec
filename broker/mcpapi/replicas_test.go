package mcpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/tools/toolstest"
)

// A question belongs to the replica that runs the call; a held call to all of them.
func TestAnAnswerThatReachesAnotherReplica(t *testing.T) {
	t.Parallel()
	key := []byte("of all of them")
	named := func(name string) *served {
		return serve(t, func(c *mcpapi.Config) {
			c.Replica, c.StateKey, c.Limits.AnswerTimeout = name, key, 2*time.Second
		})
	}
	a, b := named("a"), named("b")
	body := func(more string) string {
		return strings.Replace(modernBody("1", "tools/call", `"name":"files__echo"`+more), `clientCapabilities":{}`, `clientCapabilities":{"elicitation":{"form":{}}}`, 1)
	}
	stateOf := func(got reply) string {
		t.Helper()
		var asked struct {
			Result struct {
				State string `json:"requestState"`
			} `json:"result"`
		}
		if err := json.Unmarshal([]byte(got.body), &asked); err != nil || asked.Result.State == "" {
			t.Fatalf("%s: %v", got.body, err)
		}
		return asked.Result.State
	}
	headers := modernHeaders("tools/call", "files__echo")
	a.caller.call = func(ctx context.Context, r broker.Request) (*broker.Reply, error) {
		said, err := r.Ask(ctx, json.RawMessage(`{"q":{"method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}}}`))
		if err != nil {
			return nil, &broker.Error{Kind: broker.Upstream, Public: "nobody answered"}
		}
		return &broker.Reply{CallID: "c1", Answer: toolstest.Text(string(said))}, nil
	}
	answer := `,"requestState":"` + stateOf(a.send(t, "/mcp", body(""), headers...)) + `","inputResponses":{"q":{"action":"accept"}}`
	if got := b.send(t, "/mcp", body(answer), headers...); got.status != http.StatusBadRequest || !strings.Contains(got.body, `replica \"a\"`) {
		t.Errorf("at the other replica: %d %s", got.status, got.body)
	}
	if got := a.send(t, "/mcp", body(answer), headers...); !strings.Contains(got.body, "accept") {
		t.Errorf("at the one that asked: %s", got.body)
	}
	a.caller.call = func(context.Context, broker.Request) (*broker.Reply, error) {
		return &broker.Reply{CallID: held.CallID, Pending: &held}, nil
	}
	b.caller.await = func(_ context.Context, _ *agents.Identity, id string, _ func(broker.Pending)) (*broker.Reply, error) {
		return &broker.Reply{CallID: id, Answer: toolstest.Text("approved")}, nil
	}
	back := `,"requestState":"` + stateOf(a.send(t, "/mcp", body(""), headers...)) + `","inputResponses":{"approval":{"action":"accept"}}`
	if got := b.send(t, "/mcp", body(back), headers...); !strings.Contains(got.body, "approved") {
		t.Errorf("a held call, at the other replica: %s", got.body)
	}
}
