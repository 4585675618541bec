package fastapi_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

const (
	create = "crm.create_customer_customers_post"
	list   = "crm.list_customers_customers_get"
	get    = "crm.get_customer_customers__customer_id__get"
	put    = "crm.replace_customer_customers__customer_id__put"
	remove = "crm.delete_customer_customers__customer_id__delete"
	note   = "crm.add_note_customers__customer_id__notes_post"
	card   = "crm.card_customers__customer_id__card_get"
)

// TestEveryEndpoint calls every endpoint of an unchanged FastAPI service through the broker, which
// decides on each call by its arguments and records it.
func TestEveryEndpoint(t *testing.T) { //nolint:paralleltest // it sets the environment
	r := start(t)
	names := r.tools(t)
	if want := 7; len(names) != want || names["crm.wipe_admin_wipe_post"] != "" {
		t.Errorf("%d tools, want %d and none of /admin: %v", len(names), want, names)
	}
	var recorded []string
	call := func(tool, args string, o client.CallOptions) (*client.Result, error) {
		t.Helper()
		result, err := r.agent.Call(t.Context(), tool, json.RawMessage(args), o)
		if result != nil && result.CallID != "" {
			recorded = append(recorded, result.CallID)
		}
		return result, err
	}
	for _, tt := range []struct{ tool, args, want, refused string }{
		{create, `{"name":"Ada","email":"ada@acme.example","address":{"city":"London","country":"GB"}}`, `"structuredContent":{"name":"Ada"`, ""},
		{create, `{"name":"Bea","email":"bea@acme.example","credit":1000}`, `"id":2`, ""},
		{create, `{"name":"Cid","email":"c","address":{"city":"x","country":"Germany"}}`, "", "/address"}, // the schema's own pattern
		{create, `{"name":"Cid","email":"c","is_admin":true}`, "", "is_admin"},                            // no argument of the service
		{list, `{"q":"a","country":["GB","FR"]}`, `"structuredContent":{"result":[{"name":"Ada"`, ""},
		{list, `{"limit":0}`, "", "limit"},
		{get, `{"customer_id":2}`, `"email":"bea@acme.example"`, ""},
		{get, `{"customer_id":77}`, "HTTP 404 Not Found: there is no customer 77", ""},
		{put, `{"customer_id":2,"name":"Bea B.","email":"bea@acme.example"}`, `"name":"Bea B."`, ""},
		{put, `{"customer_id":1,"name":"x","email":"x"}`, "", "first-customer-is-ours"},
		{note, `{"customer_id":2,"text":"hello","parent":{"text":"earlier","parent":{"text":"first"}}}`, `"structuredContent":{"result":1}`, ""},
		{card, `{"customer_id":2}`, "Bea B. <bea@acme.example>", ""},
	} {
		result, err := call(tt.tool, tt.args, client.CallOptions{})
		switch {
		case tt.refused != "":
			if err == nil || !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("%s %s: %v, want a refusal for %s", tt.tool, tt.args, err, tt.refused)
			}
		case err != nil || !strings.Contains(string(result.Raw)+result.Text, tt.want):
			t.Errorf("%s %s: %v, %+v, want %s", tt.tool, tt.args, err, result, tt.want)
		}
	}
	r.checkHeld(t, call)
	r.checkKey(t, call)
	r.checkRecords(t, recorded)
	r.checkPython(t)
}

type caller = func(tool, args string, o client.CallOptions) (*client.Result, error)

// checkHeld deletes a customer with a lead's approval.
func (r *rig) checkHeld(t *testing.T, call caller) {
	t.Helper()
	held, err := call(remove, `{"customer_id":2}`, client.CallOptions{})
	if err != nil || held.Pending == nil {
		t.Fatalf("deleting is not held: %+v, %v", held, err)
	}
	var shown struct {
		Digest string `json:"digest"`
	}
	r.bob(t, http.MethodGet, "/v1/calls/"+held.CallID, "", &shown)
	r.bob(t, http.MethodPost, "/v1/calls/"+held.CallID+"/approvals", `{"verdict":"approve","digest":"`+shown.Digest+`"}`, &struct{}{})
	done, err := call(remove, `{"customer_id":2}`, client.CallOptions{Waiting: client.Waiting{Wait: patience}})
	if err != nil || done.Pending != nil || !strings.Contains(string(done.Raw), "HTTP 204") {
		t.Errorf("the approved call: %+v, %v", done, err)
	}
	if gone, err := call(get, `{"customer_id":2}`, client.CallOptions{}); err != nil || !strings.Contains(string(gone.Raw), "HTTP 404") {
		t.Errorf("the customer is still there: %+v, %v", gone, err)
	}
}

// checkKey repeats a call under its key: it is the same call, and the service has done it once.
func (r *rig) checkKey(t *testing.T, call caller) {
	t.Helper()
	for range 2 {
		result, err := call(create, `{"name":"Eve","email":"e"}`, client.CallOptions{IdempotencyKey: "order-7"})
		if err != nil || !strings.Contains(string(result.Raw), `"name":"Eve"`) {
			t.Errorf("with the same key: %+v, %v", result, err)
		}
	}
	if found, err := call(list, `{"q":"Eve"}`, client.CallOptions{}); err != nil || strings.Count(found.Text, "Eve") != 1 {
		t.Errorf("the service has %+v, %v; want one Eve", found, err)
	}
	if _, err := call(create, `{"name":"Eve","email":"other"}`, client.CallOptions{IdempotencyKey: "order-7"}); err == nil {
		t.Error("another call under the same key is made")
	}
}

// checkRecords finds every call in the history, and the service's key nowhere.
func (r *rig) checkRecords(t *testing.T, ids []string) {
	t.Helper()
	for _, id := range ids {
		var c json.RawMessage
		r.bob(t, http.MethodGet, "/v1/calls/"+id, "", &c)
		if !strings.Contains(string(c), `"state":"closed"`) || strings.Contains(string(c), serviceKey) {
			t.Errorf("call %s: %s", id, c)
		}
	}
	if len(ids) < 12 {
		t.Errorf("only %d calls have an id", len(ids))
	}
}

// tools are what the agent is shown: descriptions by name.
func (r *rig) tools(t *testing.T) map[string]string {
	t.Helper()
	all, err := r.agent.Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, tool := range all {
		if name := strings.Replace(tool.Name, "__", ".", 1); strings.HasPrefix(name, "crm.") {
			names[name] = tool.Description
		}
	}
	return names
}

// checkPython lets the official SDK call, which checks answers against output schemas.
func (r *rig) checkPython(t *testing.T) {
	t.Helper()
	python := need.Env(t, need.Python)
	for tool, want := range map[string]string{
		`crm__list_customers_customers_get {"q":"Ada"}`:                   `"city": "London"`,
		`crm__get_customer_customers__customer_id__get {"customer_id":1}`: `"name": "Ada"`,
	} {
		name, args, _ := strings.Cut(tool, " ")
		cmd := exec.CommandContext(t.Context(), python, filepath.Join("..", "clients", "python", "client.py"), "call", name, args)
		cmd.Env = append(os.Environ(), "DEED_URL="+r.url, "DEED_TOKEN="+r.token())
		said, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(said), want) {
			t.Errorf("%s by the Python SDK: %v\n%s", tool, err, said)
		}
	}
}
