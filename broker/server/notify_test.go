package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/broker/httpapi"
)

// hooks is a receiver of signed events.
type hooks struct {
	*httptest.Server
	secret string
	events chan hook
}

type hook struct {
	ID   string `json:"-"`
	Type string `json:"type"`
	Data struct {
		CallID   string `json:"call_id"`
		Sentence string `json:"sentence"`
		Outcome  string `json:"outcome"`
		Link     string `json:"link"`
	} `json:"data"`
}

func receiveHooks(t *testing.T) *hooks {
	t.Helper()
	h := &hooks{secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("thirty-two bytes of a key, or so")), events: make(chan hook, 100)}
	signed, err := standardwebhooks.NewWebhook(h.secret)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := signed.Verify(body, r.Header); err != nil {
			t.Errorf("an event is not signed: %v", err)
		}
		e := hook{ID: r.Header.Get(standardwebhooks.HeaderWebhookID)}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		h.events <- e
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooks) next(t *testing.T) hook {
	t.Helper()
	select {
	case e := <-h.events:
		return e
	case <-time.After(patience):
		t.Fatal("nobody is told")
		return hook{}
	}
}

// notified is a rig that tells hooks, and browsers at a push service of the test's own.
func notified(t *testing.T, h *hooks) *rig {
	t.Helper()
	r := newRig(t)
	secret := filepath.Join(r.dir, "hook")
	if err := os.WriteFile(secret, []byte(h.secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.upstreams = fmt.Sprintf(`
notify:
  channels:
    hook: { webhook: { url: %s/in, secret: "file://%s" } }
    browsers: { push: { subscriber: ops@acme.example, services: ["%s"] } }
  routes: [{ domains: [payments], approvers: [lead], to: [hook, browsers] }]
`, h.URL, secret, strings.TrimPrefix(h.URL, "http://"))
	return r
}

func TestLeadsAreToldOfAHeldCall(t *testing.T) {
	t.Parallel()
	h := receiveHooks(t)
	rig := notified(t, h)
	r := rig.start(t)
	result, err := r.copilot(t).Call(t.Context(), "payments.refund", json.RawMessage(`{"payment":"pay-1002","amount":150}`), client.CallOptions{Justification: "she asked"})
	if err != nil || result.Pending == nil {
		t.Fatalf("the call is not held: %+v %v", result, err)
	}
	id := result.Pending.CallID
	first := h.next(t)
	if first.Type != "deed.call.held" || first.Data.CallID != id || first.ID != id+".hook.held" || first.Data.Link != r.url()+"/#/calls/"+id ||
		strings.Contains(first.Data.Sentence, "pay-1002") && !strings.Contains(first.Data.Sentence, "efund") {
		t.Errorf("the first event is %+v", first)
	}
	r.stop(t)
	r = rig.start(t) // which repeats nothing
	var d httpapi.CallDetail
	if code, body := r.get(t, "/v1/calls/"+id, r.bob()); code != http.StatusOK || json.Unmarshal([]byte(body), &d) != nil || d.Justification != "she asked" {
		t.Fatalf("HTTP %d: %s", code, body)
	}
	vote := r.send(t, http.MethodPost, "/v1/calls/"+id+"/approvals", r.bob(), fmt.Sprintf(`{"verdict":"approve","digest":%q}`, d.Digest))
	if vote.StatusCode != http.StatusOK {
		t.Fatalf("the vote: HTTP %d", vote.StatusCode)
	}
	if second := h.next(t); second.Type != "deed.call.approved" || second.Data.CallID != id || second.Data.Outcome != "Approved by bob" {
		t.Errorf("the second event is %+v", second)
	}
	if code, body := r.get(t, "/readyz", ""); code != http.StatusOK || !strings.Contains(body, `{"name":"notifications","ok":true}`) {
		t.Errorf("/readyz: HTTP %d: %s", code, body)
	}
	for end := time.Now().Add(patience); ; { // it is counted once the receiver has answered
		_, body := r.get(t, "/metrics", "")
		if strings.Contains(body, `deed_notify_sent_total{channel="hook"`) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("there is no metric of what was sent")
		}
	}
}

func TestBrowsersSubscribe(t *testing.T) {
	t.Parallel()
	h := receiveHooks(t)
	r := notified(t, h).start(t)
	var state httpapi.PushState
	if code, body := r.get(t, "/v1/push", r.bob()); code != http.StatusOK || json.Unmarshal([]byte(body), &state) != nil || len(state.PublicKey) != 87 || state.Subscribed != 0 {
		t.Fatalf("HTTP %d: %s", code, body)
	}
	point := "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4" // of RFC 8291
	browser := fmt.Sprintf(`{"endpoint":"%s/b","expirationTime":null,"keys":{"p256dh":"%s","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`, h.URL, point)
	for body, want := range map[string]int{
		browser: http.StatusOK, strings.Replace(browser, h.URL, "http://169.254.169.254", 1): http.StatusBadRequest, `{"endpoint":"x"}`: http.StatusBadRequest,
	} {
		if got := r.send(t, http.MethodPost, "/v1/push", r.bob(), body); got.StatusCode != want {
			t.Errorf("%s: HTTP %d, want %d", body, got.StatusCode, want)
		}
	}
	if got := r.send(t, http.MethodPost, "/v1/push", r.agent("s-1"), browser); got.StatusCode != http.StatusForbidden {
		t.Errorf("an agent subscribes: HTTP %d", got.StatusCode)
	}
	if _, body := r.get(t, "/v1/push", r.bob()); !strings.Contains(body, `"subscribed":1`) {
		t.Errorf("after it: %s", body)
	}
	if got := r.send(t, http.MethodDelete, "/v1/push", r.bob(), fmt.Sprintf(`{"endpoint":"%s/b"}`, h.URL)); got.StatusCode != http.StatusOK {
		t.Errorf("taken back: HTTP %d", got.StatusCode)
	}
	if _, body := r.get(t, "/v1/push", r.bob()); !strings.Contains(body, `"subscribed":0`) {
		t.Errorf("after that: %s", body)
	}
}

func TestABrokerThatTellsNobodySaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t).start(t)
	if code, body := r.get(t, "/v1/push", r.bob()); code != http.StatusNotFound || !strings.Contains(body, "notify.channels") {
		t.Errorf("HTTP %d: %s", code, body)
	}
}
