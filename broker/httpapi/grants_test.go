package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/httpapi"
)

func TestGrantsArePreviewedMadeUsedAndTakenBack(t *testing.T) {
	t.Parallel()
	r := start(t)
	denied := r.call("ask nicely") // decided before, so that there is something to preview
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+denied)
	answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+denied+"/approvals",
		fmt.Sprintf(`{"verdict":"deny","digest":%q,"reason":"not yet"}`, h.Digest)), http.StatusOK)
	r.ended(denied)
	other := r.call("ask other")
	id := r.call("ask again")
	r.indexed()
	h = get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	body := func(where string, uses int) string {
		return fmt.Sprintf(`{"call_id":%q,"digest":%q,"where":[%s],"uses":%d,"until":%q,"reason":"busy"}`,
			id, h.Digest, where, uses, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}
	again := `{"field":"/text","equals":"ask again"}`

	p := answer[httpapi.GrantPreview](r, r.request("bob", http.MethodPost, "/v1/grant-preview", body(again, 2)), http.StatusOK)
	if p.Alike != 3 || p.Covered != 1 || p.Calls[0].CallID != id {
		t.Errorf("preview = %+v", p)
	}
	for who, want := range map[string]int{"alice": http.StatusForbidden, "copilot": http.StatusForbidden, "carol": http.StatusForbidden} {
		answer[httpapi.Problem](r, r.request(who, http.MethodPost, "/v1/grants", body(again, 2)), want)
	}
	for what, where := range map[string]string{
		"another call": `{"field":"/text","equals":"ask other"}`, "two comparisons": `{"field":"/text","equals":"a","at_most":"1"}`,
	} {
		if resp := r.request("bob", http.MethodPost, "/v1/grants", body(where, 2)); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a grant of %s gives %d", what, resp.StatusCode)
		}
	}
	g := answer[httpapi.Grant](r, r.request("bob", http.MethodPost, "/v1/grants", body(again, 2)), http.StatusCreated)
	if g.By != "bob" || g.Tool != "desk.echo" || g.Uses != 2 || !cmp.Equal(g.Chain, []string{"copilot"}) {
		t.Errorf("grant = %+v", g)
	}
	r.ended(id)
	if d := get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id); d.Outcome != "result" || d.Votes[0].Grant != g.ID {
		t.Errorf("the call it was made from: %+v", d)
	}
	if d := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+other); d.State != "held" {
		t.Errorf("a call that it does not cover: %+v", d)
	}
	list := get[httpapi.List[httpapi.Grant]](r, "bob", "/v1/grants")
	if len(list.Items) != 1 || list.Items[0].Left != 1 || !cmp.Equal(list.Items[0].UsedBy, []string{id}) {
		t.Errorf("grants = %+v", list)
	}
	if none := get[httpapi.List[httpapi.Grant]](r, "erin", "/v1/grants"); len(none.Items) != 0 {
		t.Errorf("erin sees %+v", none)
	}
	if resp := r.request("erin", http.MethodDelete, "/v1/grants/"+g.ID, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("erin takes it back: %d", resp.StatusCode)
	}
	over := answer[httpapi.Grant](r, r.request("bob", http.MethodDelete, "/v1/grants/"+g.ID+"?reason=done", ""), http.StatusOK)
	if over.Left != 0 || over.EndedBy != "bob" {
		t.Errorf("taken back: %+v", over)
	}
}

func TestAVoteSaysWhatWasShown(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.call("ask nicely")
	h := get[httpapi.CallDetail](r, "bob", "/v1/calls/"+id)
	if h.Sentence == nil || h.Sentence.Template != "plain" || len(h.Sentence.Parts) != 3 || h.Sentence.Parts[2].Text != "ask nicely" || h.Sentence.Parts[2].Field != "/text" {
		t.Fatalf("the sentence is %+v", h.Sentence)
	}
	vote := `{"verdict":"approve","digest":%q,"shown":%q}`
	answer[httpapi.Problem](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", fmt.Sprintf(vote, h.Digest, "something else")), http.StatusConflict)
	answer[httpapi.CallDetail](r, r.request("bob", http.MethodPost, "/v1/calls/"+id+"/approvals", fmt.Sprintf(vote, h.Digest, h.Sentence.Digest)), http.StatusOK)
	r.ended(id)
	for _, e := range r.Events(t, id) {
		if e.Type == "dev.deed.call.approval.v1" && !strings.Contains(string(e.Data), `"shown":{"template":"plain","digest":"`+h.Sentence.Digest+`","form":2}`) {
			t.Errorf("the vote's event is %s", e.Data)
		}
	}
	want := []httpapi.Shown{{By: "bob", Template: "plain", Text: "Call desk.echo with text ask nicely"}}
	if diff := cmp.Diff(want, get[httpapi.CallDetail](r, "carol", "/v1/calls/"+id).Shown); diff != "" {
		t.Errorf("what bob was shown (-want +got):\n%s", diff)
	}
	for who, query := range map[string]string{"frank": "", "carol": "?tier=metadata"} {
		if got := get[httpapi.CallDetail](r, who, "/v1/calls/"+id+query).Shown; len(got) != 0 {
			t.Errorf("%s is told that bob was shown %+v", who, got)
		}
	}
}
