package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/httpapi"
)

// hostile is text that must reach viewers exactly as the agent wrote it: it is for who
// shows it to make every character of it visible.
const hostile = "urgent \u202e\u200b\x1b[31m<img src=x onerror=alert(1)> \u0430"

func TestACardHasWhatPeopleDecideOn(t *testing.T) {
	t.Parallel()
	r := start(t)
	var first string
	for n, verdict := range []string{"deny", "approve", "", ""} {
		id := r.justified(fmt.Sprintf("ask %d", n), hostile)
		if verdict == "" {
			first = id
			continue
		}
		h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
		vote := fmt.Sprintf(`{"verdict":%q,"digest":%q,"reason":"so"}`, verdict, h.Digest)
		answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", vote), http.StatusOK)
		r.ended(id)
	}
	r.indexed()
	list := get[holds](r, "bob", "/v1/calls?state=held").Items
	if len(list) != 2 {
		t.Fatalf("%d calls are held, want 2", len(list))
	}
	want := &httpapi.Precedents{Days: 30, Approved: 1, Denied: 1, Open: 2}
	for _, h := range append(list, get[httpapi.CallDetail](r, "bob", "/v1/calls/"+first).HeldCall) {
		if h.Justification != hostile || h.Session != "session-of-alice" {
			t.Errorf("the card says %q, in session %q", h.Justification, h.Session)
		}
		if diff := cmp.Diff(want, h.Precedents); diff != "" {
			t.Errorf("precedents (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(httpapi.Quorum{Voters: []string{}, Needed: 1}, h.Quorum); diff != "" {
			t.Errorf("quorum (-want +got):\n%s", diff)
		}
		if h.Alike == "" || h.Alike != list[0].Alike {
			t.Errorf("%s is not alike %s", h.Alike, list[0].Alike)
		}
	}
	again := r.justified("ask 3", "another reason")
	if got := get[holds](r, "bob", "/v1/calls?state=held").Items; again != first || len(got) != 2 {
		t.Errorf("asked again for the same, there are %d cards, and the call is %s, not %s", len(got), again, first)
	}
}

func TestACardSaysWhatTheToolSaysOfItself(t *testing.T) {
	t.Parallel()
	r := start(t)
	reply, err := r.Call(t.Context(), broker.Request{Identity: copilot, Tool: "desk.wipe", Arguments: []byte(`{}`), NoWait: true})
	must(t, err)
	yes, no := true, false
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+reply.CallID)
	if diff := cmp.Diff(httpapi.Annotations{Destructive: &yes, Idempotent: &no}, h.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if h.Quorum.Needed != 2 {
		t.Errorf("it needs %d approvals, want 2", h.Quorum.Needed)
	}
	vote := fmt.Sprintf(`{"verdict":"approve","digest":%q}`, h.Digest)
	after := answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+reply.CallID+"/approvals", vote), http.StatusOK)
	if diff := cmp.Diff(httpapi.Quorum{Voters: []string{"bob"}, Needed: 2}, after.Quorum); diff != "" {
		t.Errorf("after a vote (-want +got):\n%s", diff)
	}
}

func TestAJustificationStaysWithItsCall(t *testing.T) {
	t.Parallel()
	r := start(t)
	ran, refused := r.justified("hello", hostile), r.justified("secret", "none of your business")
	r.indexed()
	for id, want := range map[string]string{ran: hostile, refused: "none of your business"} {
		if got := get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id); got.Justification != want || got.Precedents != nil {
			t.Errorf("%s says %q with precedents %v, want %q and none", id, got.Justification, got.Precedents, want)
		}
	}
}

// justified makes a call of the echo tool as the copilot, for alice, in a session.
func (r *rig) justified(text, why string) string {
	r.t.Helper()
	who := brokertest.Through(brokertest.Person("alice", "support"), "copilot")
	who.Session = "session-of-alice"
	reply, err := r.Call(r.t.Context(), broker.Request{
		Identity: who, Tool: "desk.echo", Arguments: fmt.Appendf(nil, `{"text":%q}`, text), Client: "test", Justification: why, NoWait: true,
	})
	if err != nil {
		return broker.AsError(err).CallID
	}
	return reply.CallID
}
