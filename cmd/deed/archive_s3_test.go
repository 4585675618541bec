package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// objectStore is a store that speaks S3, and can be away, or stop in the midst of a file.
type objectStore struct {
	*httptest.Server

	mu      sync.Mutex
	away    bool          // guarded by mu: whoever asks is cut off
	left    int           // guarded by mu: the files that are taken before one is stuck; none is if negative
	reached chan struct{} // guarded by mu: closed once somebody was cut off, or a file is stuck
}

func newObjectStore(t *testing.T) *objectStore {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("acme"); err != nil {
		t.Fatal(err)
	}
	s := &objectStore{left: -1, reached: make(chan struct{})}
	inner := gofakes3.New(backend).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch s.take(r) {
		case cutOff:
			panic(http.ErrAbortHandler)
		case stuck:
			_, _ = io.Copy(io.Discard, r.Body) // who sends it is not heard of otherwise
			<-r.Context().Done()
		default:
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ENDPOINT_URL", s.URL)
	return s
}

// What becomes of a request.
const (
	served = iota
	cutOff
	stuck
)

func (s *objectStore) take(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	how := served
	switch {
	case s.away:
		how = cutOff
	case r.Method == http.MethodPut && s.left == 0:
		how = stuck
	case r.Method == http.MethodPut && s.left > 0:
		s.left--
	}
	if how != served {
		select {
		case <-s.reached:
		default:
			close(s.reached)
		}
	}
	return how
}

// become changes how it is. The channel closes once somebody meets with it.
func (s *objectStore) become(away bool, left int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.left, s.reached = away, left, make(chan struct{})
	return s.reached
}

// archiving is a `deed serve` whose records outlive their retention at once.
type archiving struct {
	home
	store   *objectStore
	issuer  *agentstest.Issuer
	address string
}

func (a *archiving) serve(t *testing.T, domain string) *process {
	t.Helper()
	text := fmt.Sprintf(`
listen: %[1]s
url: http://%[1]s
data: data
issuers: [{ url: %[2]s, people_clients: [console] }]
policies: [all.cedar]
domains: { payments: { %[3]s } }
archive: { to: s3://acme/deed }
agents: { copilot: { roles: [assistant] } }
upstreams: { payments: { domain: payments, builtin: ledger, dir: ledger } }
`, a.address, a.issuer.URL, domain)
	for name, text := range map[string]string{"deed.yaml": text, "all.cedar": `permit (principal, action in Action::"payments", resource);`} {
		if err := os.WriteFile(filepath.Join(string(a.home), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(string(a.home), "ledger"), 0o700); err != nil {
		t.Fatal(err)
	}
	return a.start(t, "serve", "-c", "deed.yaml")
}

// call makes a call once the broker is up.
func (a *archiving) call(t *testing.T) {
	t.Helper()
	token := a.issuer.Token(a.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{"roles": []string{"support"}}))
	c, err := client.New(client.Options{URL: "http://" + a.address, Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it was used
	patient, tick := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		if _, err = c.Call(t.Context(), "payments.accounts", nil, callOptions()); err == nil {
			return
		}
		select {
		case <-patient:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// oldest is the first record of payments that is left, and whether a removal is on record.
func (a *archiving) oldest(t *testing.T) (first int64, onRecord []audit.Removal) {
	t.Helper()
	r, err := embedded.OpenReadOnly(t.Context(), filepath.Join(string(a.home), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	if first, err = r.Oldest(t.Context(), "payments/calls"); err != nil {
		t.Fatal(err)
	}
	for rec, err := range r.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := rec.Event(); err == nil && e.Type == audit.RecordsRemoved {
			data, err := audit.DataOf[audit.Removal](e)
			if err != nil {
				t.Fatal(err)
			}
			onRecord = append(onRecord, data)
		}
	}
	return first, onRecord
}

// TestRetentionArchivesIntoABucket has retention put records into an object store that hangs
// in the midst of them while the broker is killed, and is away when it comes again: nothing is
// removed, and calls go on. Once it is back they are archived, verified and removed, and both
// parts are proved together.
func TestRetentionArchivesIntoABucket(t *testing.T) {
	a := &archiving{home: newHome(t), store: newObjectStore(t), address: need.Address(t)}
	a.issuer = agentstest.Start(t, "http://"+a.address+"/mcp")
	p := a.serve(t, "")
	for range 4 {
		a.call(t)
	}
	if code, said := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	key, err := os.ReadFile(filepath.Join(string(a.home), "data", server.KnownPubKey))
	if err != nil {
		t.Fatal(err)
	}
	for what, is := range map[string]struct {
		away bool
		left int
	}{"hangs in the midst of an archive": {false, 2}, "is away": {true, -1}} {
		met := a.store.become(is.away, is.left)
		p := a.serve(t, "retention: 1ms, payload_retention: 1ms")
		select {
		case <-met:
		case <-time.After(patience):
			t.Fatalf("nobody meets a store that %s", what)
		}
		a.call(t)
		p.kill(t)
		if first, removed := a.oldest(t); first != 0 || len(removed) != 0 {
			t.Fatalf("killed while the store %s: the oldest record is %d, removed %+v", what, first, removed)
		}
	}
	a.store.become(false, -1)
	p = a.serve(t, "retention: 1ms, payload_retention: 1ms")
	patient, tick := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for first := int64(0); first == 0; first, _ = a.oldest(t) {
		select {
		case <-patient:
			_, said := p.stop(t, syscall.SIGTERM)
			t.Fatalf("nothing is removed: %s", said)
		case <-tick.C:
		}
	}
	if code, said := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	args := []string{"verify", "data", "--key", strings.TrimSpace(string(key)), "--closed"}
	_, removed := a.oldest(t)
	for _, r := range removed {
		if !strings.HasPrefix(r.Archive, "s3://acme/deed/payments-calls-from-") {
			t.Errorf("archived in %s", r.Archive)
		}
		args = append(args, "--archive", r.Archive)
	}
	a.must(t, args, "verified: ")
}
