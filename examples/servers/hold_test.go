package servers_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/demo"
)

var callID = regexp.MustCompile(`\{"call_id":"([0-9a-f-]{36})"\}`)

// held calls write_file with arguments that are held, and returns the call's id as
// the answer's words have it, which is all that a model sees.
func (c client) held(t *testing.T, d *deed, token string, args map[string]any) (id string) {
	t.Helper()
	a := c.call(t, d, token, writeFile, args)
	t.Log(shown(writeFile, args, a))
	return heldID(t, a)
}

func heldID(t *testing.T, a answer) string {
	t.Helper()
	found := callID.FindStringSubmatch(a.text())
	if found == nil || !strings.HasPrefix(a.text(), "held: ") || !strings.Contains(a.text(), "approval by lead") {
		t.Fatalf("%+v, want an answer that says held, by whom it can be approved, and its id", a)
	}
	return found[1]
}

// heldCall is a held call in the answers of the HTTP API.
type heldCall struct {
	ID     string `json:"call_id"`
	State  string
	Digest string
}

// pending lists the calls that bob may decide on.
func (d *deed) pending(t *testing.T) []heldCall {
	t.Helper()
	var list struct{ Items []heldCall }
	bob := d.token(t, demo.TokenRequest{User: "bob"})
	if status := d.request(t, http.MethodGet, "/v1/calls?"+url.Values{"state": {"held"}}.Encode(), bob, nil, &list); status != http.StatusOK {
		t.Fatalf("list held calls: status %d", status)
	}
	return list.Items
}

// approve approves a call over HTTP as bob, for the digest that he is shown.
func (d *deed) approve(t *testing.T, id string) {
	t.Helper()
	bob := d.token(t, demo.TokenRequest{User: "bob"})
	var shown, voted heldCall
	if status := d.request(t, http.MethodGet, "/v1/calls/"+id, bob, nil, &shown); status != http.StatusOK || shown.State != "held" {
		t.Fatalf("status %d, call %+v, want it held", status, shown)
	}
	vote := map[string]string{"verdict": "approve", "digest": shown.Digest}
	if status := d.request(t, http.MethodPost, "/v1/calls/"+id+"/approvals", bob, vote, &voted); status != http.StatusOK || voted.State == "held" {
		t.Fatalf("status %d, call %+v, want it approved", status, voted)
	}
}

// awaitRunning waits until a call runs in its tool.
func (d *deed) awaitRunning(t *testing.T) {
	t.Helper()
	bob := d.token(t, demo.TokenRequest{User: "bob"})
	d.await(t, "a call runs", func() bool {
		var list struct{ Items []heldCall }
		return d.request(t, http.MethodGet, "/v1/calls?state=running", bob, nil, &list) == http.StatusOK && len(list.Items) == 1
	})
}
