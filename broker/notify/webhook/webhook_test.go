package webhook_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/notify/webhook"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a server that keeps what it gets.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	bodies []string      // guarded by mu
	heads  []http.Header // guarded by mu
	answer func(w http.ResponseWriter)
}

func receive(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.heads = append(r.bodies, string(body)), append(r.heads, req.Header)
		if r.answer != nil {
			r.answer(w)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) last() (string, http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies[len(r.bodies)-1], r.heads[len(r.heads)-1]
}

var secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("a key of thirty-two bytes, no less"))

func text(s string) webhook.Text {
	return func(context.Context) (string, error) { return s, nil }
}

func held() notify.Message {
	return notify.Message{
		ID: "0191.hook.held", Thread: "0191", State: notify.Held, Time: time.Date(2026, 11, 27, 13, 50, 0, 0, time.UTC), CallID: "0191",
		Tool: "payments.refund", Domain: "payments", Sentence: "Refund 250 of <!channel> & co", Principal: "alice", Agents: []string{"copilot"},
		Approvers: []string{"lead"}, Deadline: time.Date(2026, 11, 27, 14, 5, 0, 0, time.UTC), Link: "https://deed.example/#/calls/0191",
	}
}

func TestAnEventSaysWhatHappened(t *testing.T) {
	t.Parallel()
	r := receive(t)
	c, err := webhook.New(r.URL+"/in?team=a", text(secret))
	must(t, err)
	must(t, c.Send(t.Context(), held()))
	body, _ := r.last()
	var got map[string]any
	must(t, json.Unmarshal([]byte(body), &got))
	want := map[string]any{
		"type": "deed.call.held", "timestamp": "2026-11-27T13:50:00Z", "data": map[string]any{
			"call_id": "0191", "state": "held", "tool": "payments.refund", "domain": "payments", "sentence": "Refund 250 of <!channel> & co",
			"principal": "alice", "agents": []any{"copilot"}, "approvers": []any{"lead"}, "deadline": "2026-11-27T14:05:00Z",
			"link": "https://deed.example/#/calls/0191",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	many := notify.Message{ID: "digest.1", Time: held().Time, Digest: []notify.Message{held(), held()}, Link: "https://deed.example/#/inbox"}
	must(t, c.Send(t.Context(), many))
	if body, head := r.last(); !strings.HasPrefix(body, `{"type":"deed.digest"`) || strings.Count(body, `"call_id"`) != 2 || head.Get("Webhook-Id") != "digest.1" {
		t.Errorf("a digest: %s", body)
	}
}

// verifier is the reference implementation in Python.
const verifier = `
import json, sys
from standardwebhooks.webhooks import Webhook
given = json.load(sys.stdin)
Webhook(given["secret"]).verify(given["body"], given["headers"])
`

func TestAnotherImplementationVerifiesTheSignature(t *testing.T) {
	t.Parallel()
	python := need.Env(t, need.ReceiversPython)
	r := receive(t)
	c, err := webhook.New(r.URL, text(secret))
	must(t, err)
	must(t, c.Send(t.Context(), held()))
	body, head := r.last()
	other := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another key of thirty-two bytes or so"))
	for name, row := range map[string]struct {
		body, secret string
		ok           bool
	}{
		"as it came": {body, secret, true}, "another body": {body + " ", secret, false}, "another key": {body, other, false},
	} {
		given, err := json.Marshal(map[string]any{"secret": row.secret, "body": row.body, "headers": map[string]string{
			"webhook-id": head.Get("Webhook-Id"), "webhook-timestamp": head.Get("Webhook-Timestamp"), "webhook-signature": head.Get("Webhook-Signature"),
		}})
		must(t, err)
		cmd := exec.CommandContext(t.Context(), python, "-c", verifier)
		cmd.Stdin = strings.NewReader(string(given))
		if out, err := cmd.CombinedOutput(); (err == nil) != row.ok {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestAnswersDecideWhetherItIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := receive(t)
	c, err := webhook.New(r.URL, text(secret))
	must(t, err)
	for status, refused := range map[int]bool{400: true, 401: true, 404: true, 410: true, 302: true, 408: false, 429: false, 500: false, 503: false} {
		r.mu.Lock()
		r.answer = func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Location", "http://169.254.169.254/")
			w.WriteHeader(status)
		}
		r.mu.Unlock()
		err := c.Send(t.Context(), held())
		if err == nil || errors.Is(err, notify.ErrRefused) != refused {
			t.Errorf("%d: %v", status, err)
		}
		if later, ok := errors.AsType[*notify.LaterError](err); ok != (status == 429 || status == 503) || ok && later.After != 7*time.Second {
			t.Errorf("%d: later %+v", status, later)
		}
		if err != nil && strings.Contains(err.Error(), r.URL) {
			t.Errorf("%d: the error names the address: %v", status, err)
		}
	}
}

func TestAddressesAndSecretsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"", "http://hooks.example/x", "ftp://hooks.example", "https://user:pw@hooks.example", "https://hooks.example/#x", "//x", "http://169.254.169.254/latest"} {
		if _, err := webhook.New(to, text(secret)); err == nil {
			t.Errorf("%s is taken for an address", to)
		}
	}
	r := receive(t)
	for _, key := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, though long enough"} {
		c, err := webhook.New(r.URL, text(key))
		must(t, err)
		if err := c.Send(t.Context(), held()); err == nil || len(r.bodies) != 0 {
			t.Errorf("with the key %q: %v", key, err)
		}
	}
}

func TestASlackMessageIsTextAndOneLink(t *testing.T) {
	t.Parallel()
	r := receive(t)
	s := webhook.NewSlack(text(r.URL + "/services/T0/B0/secret"))
	must(t, s.Send(t.Context(), held()))
	body, _ := r.last()
	var got struct {
		Text   string `json:"text"`
		Blocks []struct {
			Text struct {
				Type  string `json:"type"`
				Text  string `json:"text"`
				Emoji *bool  `json:"emoji"`
			} `json:"text"`
		} `json:"blocks"`
		Markdown    bool `json:"mrkdwn"`
		UnfurlLinks bool `json:"unfurl_links"`
	}
	must(t, json.Unmarshal([]byte(body), &got))
	if got.Text != "Approval needed: payments.refund" || got.Markdown || got.UnfurlLinks || len(got.Blocks) != 3 {
		t.Fatalf("it posts %s", body)
	}
	said := got.Blocks[1].Text
	if said.Type != "plain_text" || said.Emoji == nil || *said.Emoji || !strings.Contains(said.Text, "Refund 250 of <!channel> & co") {
		t.Errorf("the sentence is %+v", said)
	}
	if link := got.Blocks[2].Text; link.Type != "mrkdwn" || link.Text != "<https://deed.example/#/calls/0191|Open in the console>" {
		t.Errorf("the link is %+v", link)
	}
	if strings.Contains(body, `"actions"`) || strings.Contains(body, `"button"`) {
		t.Errorf("there is something to decide with: %s", body)
	}
	decided := held()
	decided.State, decided.Outcome, decided.Tool = notify.Denied, "Denied by <b@d>", "a.b&c"
	must(t, s.Send(t.Context(), decided))
	if body, _ := r.last(); !strings.Contains(body, `"text":"Denied by \u0026lt;b@d\u0026gt;: a.b\u0026amp;c"`) {
		t.Errorf("what people type is markup: %s", body)
	}
	r.mu.Lock()
	r.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }
	r.mu.Unlock()
	if err := s.Send(t.Context(), held()); !errors.Is(err, notify.ErrRefused) || strings.Contains(err.Error(), "secret") {
		t.Errorf("refused: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
