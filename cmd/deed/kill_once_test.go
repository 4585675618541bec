package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// till is a plain HTTP service that pays, and does not say so while it is stuck.
type till struct {
	mu    sync.Mutex
	paid  []string // guarded by mu: the idempotency keys of payments
	stuck bool     // guarded by mu
	taken chan struct{}
}

const tillDescription = `{"openapi":"3.1.0","info":{"title":"till","version":"1"},"paths":{"/pay":{"post":{"operationId":"pay","summary":"Pays.",` +
	`"parameters":[{"name":"Idempotency-Key","in":"header","schema":{"type":"string"}}],` +
	`"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object","properties":{"amount":{"type":"integer"}},"required":["amount"]}}}},` +
	`"responses":{"200":{"description":"paid"}}}}}}`

func (s *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/openapi.json" {
		_, _ = w.Write([]byte(tillDescription))
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that its caller has gone
	s.mu.Lock()
	s.paid = append(s.paid, r.Header.Get("Idempotency-Key"))
	stuck, n := s.stuck, len(s.paid)
	s.mu.Unlock()
	s.taken <- struct{}{}
	if stuck {
		<-r.Context().Done()
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"payments": n}) // whoever asked has gone
}

func (s *till) stick(stuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = stuck
}

// wait waits until it is asked to pay.
func (s *till) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.taken:
	case <-time.After(patience):
		t.Fatal("nobody asks it to pay")
	}
}

func (s *till) payments() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.paid...)
}

const tillConfig = `
listen: %[1]s
url: http://%[1]s
data: data
issuers: [{ url: "http://%[2]s/demo", people_clients: [deed-cli, deed-console] }]
policies: ["*.cedar"]
domains: { work: {} }
agents: { copilot: { roles: [assistant] } }
upstreams:
  till: { domain: work, openapi: "%[3]s/openapi.json" }
`

// TestKilledWhilePaying kills the broker while a payment is made that it will not hear of. A key keeps meaning what it
// meant, and what may have happened stands in the way of the same until a person has looked, however often the broker dies.
func TestKilledWhilePaying(t *testing.T) {
	t.Parallel()
	h, pays := newHome(t), &till{taken: make(chan struct{}, 16)}
	web := httptest.NewServer(pays)
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	broker, issuer := need.Address(t), need.Address(t)
	url, yaml := "http://"+broker, filepath.Join(string(h), "deed.yaml")
	for name, text := range map[string]string{
		"deed.yaml": fmt.Sprintf(tillConfig, broker, issuer, web.URL),
		"all.cedar": `permit (principal, action in Action::"call", resource);
			permit (principal in Role::"lead", action in [Action::"review", Action::"read"], resource);
			permit (principal, action == Action::"read", resource is Call) when { resource.principal == principal };`,
	} {
		if err := os.WriteFile(filepath.Join(string(h), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	served := h.start(t, "serve", "--demo-issuer", "-c", yaml)
	awaitReady(t, url)
	again := func() {
		t.Helper()
		served.kill(t)
		served = h.start(t, "serve", "--demo-issuer", "-c", yaml)
		awaitReady(t, url)
	}
	pay := func(amount int, key string) (said string, code int) {
		t.Helper()
		args := []string{"call", "till.pay", "--args", fmt.Sprintf(`{"amount":%d}`, amount), "--as", "alice", "--agent", "copilot", "--url", url, "--json"}
		if key != "" {
			args = append(args, "--idempotency-key", key)
		}
		out, errs, code := h.run(t, args...)
		return out + errs, code
	}
	if said, code := pay(1, "first"); code != 0 || !strings.Contains(said, `\"payments\":1`) {
		t.Fatalf("exit code %d: %s", code, said)
	}
	pays.wait(t)

	pays.stick(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.run(t, "call", "till.pay", "--args", `{"amount":2}`, "--as", "alice", "--agent", "copilot", "--url", url, "--idempotency-key", "second")
	}()
	pays.wait(t)
	again()
	<-done
	pays.stick(false)

	id := ""
	for range 2 { // one more kill changes nothing
		if said, code := pay(1, "first"); code != 0 || !strings.Contains(said, `\"payments\":1`) {
			t.Errorf("the key of what was paid: exit code %d: %s", code, said)
		}
		said, code := pay(2, "second")
		if code != 6 || !strings.Contains(said, "outcome_unknown") {
			t.Errorf("the key of what may have been paid: exit code %d: %s", code, said)
		}
		if said, code := pay(2, "third"); code == 0 || !strings.Contains(said, "deed reconcile ") {
			t.Errorf("the same under another key: exit code %d: %s", code, said)
		} else {
			_, id, _ = strings.Cut(said, "deed reconcile ")
			id, _, _ = strings.Cut(id, " ")
		}
		if said, code := pay(2, ""); code == 0 || !strings.Contains(said, "deed reconcile "+id) {
			t.Errorf("the same without a key: exit code %d: %s", code, said)
		}
		again()
	}
	if paid := pays.payments(); len(paid) != 2 || paid[0] == "" || paid[1] == "" || paid[0] == paid[1] {
		t.Fatalf("it was paid under the keys %q, want two of their own", paid)
	}
	h.must(t, []string{"reconcile", id, "--did-not", "--note", "the till has no such payment", "--as", "bob", "--url", url}, "did not happen")
	again()
	if said, code := pay(2, "second"); code != 0 || !strings.Contains(said, `\"payments\":3`) {
		t.Errorf("once it is known that it was not paid: exit code %d: %s", code, said)
	}
	if paid := pays.payments(); len(paid) != 3 || paid[2] != paid[1] {
		t.Errorf("it was paid under the keys %q, want the last to be as the one before", paid)
	}
	served.kill(t)
	h.must(t, []string{"verify", filepath.Join(string(h), "data")}, "verified: ")
}
