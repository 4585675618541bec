package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/sentence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a log in memory.
type memory struct {
	mu      sync.Mutex
	records []audit.Record
	bell    chan struct{}
}

func newMemory() *memory { return &memory{bell: make(chan struct{})} }

func (m *memory) Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		n, err := strconv.Atoi(strings.TrimPrefix("0"+string(from), "0m"))
		m.mu.Lock()
		lost := err != nil || n > len(m.records)
		m.mu.Unlock()
		if lost {
			yield(audit.Record{}, fmt.Errorf("%w: cursor %q", audit.ErrNotFound, from))
			return
		}
		for {
			m.mu.Lock()
			records, bell := m.records[n:], m.bell
			m.mu.Unlock()
			for _, r := range records {
				if n++; ctx.Err() != nil || !yield(r, nil) {
					return
				}
			}
			select {
			case <-bell:
			case <-ctx.Done():
				return
			}
		}
	}
}

// scene is a log with held calls, and who is told of them.
type scene struct {
	t      *testing.T
	log    *memory
	path   string
	routes []notify.Route
	words  map[string]sentence.Sentence // by call
	made   int
}

func newScene(t *testing.T, routes ...notify.Route) *scene {
	t.Helper()
	return &scene{t: t, log: newMemory(), path: filepath.Join(t.TempDir(), notify.FileName), routes: routes, words: map[string]sentence.Sentence{}}
}

func (s *scene) append(source string, typ audit.Type, domain, topic, call string, data any) {
	s.t.Helper()
	body, err := json.Marshal(data)
	must(s.t, err)
	s.made++
	e := audit.Event{
		SpecVersion: "1.0", ID: fmt.Sprintf("event-%d", s.made), Type: typ, Source: source, Subject: call, Time: time.Now().UTC(),
		DataContentType: "application/json", Tenant: "acme", Domain: domain, Topic: topic, Data: body,
	}
	stored, err := e.Encode()
	must(s.t, err)
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	n := len(s.log.records)
	s.log.records = append(s.log.records, audit.Record{
		Position: audit.Position{Log: domain + "/" + topic, Index: int64(n)}, Next: audit.Cursor("m" + strconv.Itoa(n+1)), Stored: stored,
	})
	close(s.log.bell)
	s.log.bell = make(chan struct{})
}

const source = "deed://acme/one"

// hold has a call of payments.refund wait for a lead.
func (s *scene) hold(id string, life time.Duration) audit.Intent {
	return s.holdOf(id, "payments", "lead", life)
}

func (s *scene) holdOf(id, domain, approvers string, life time.Duration) audit.Intent {
	s.t.Helper()
	until := time.Now().Add(life).UTC()
	in := audit.Intent{
		Tool: "payments.refund", Definition: "d", Identity: audit.Identity{
			Issuer: "https://idp.example", Principal: "alice", Chain: []audit.Actor{{ID: "copilot"}}, Expires: time.Now().Add(time.Hour).UTC(),
		},
		Decision: audit.Decision{Effect: audit.Hold, Expires: &until, Approvers: []string{approvers}},
	}
	in.Digest = audit.CallDigest(in)
	s.append(source, audit.CallIntent, domain, audit.TopicCalls, id, in)
	return in
}

func person(name string) audit.Identity {
	return audit.Identity{Issuer: "https://idp.example", Principal: name, Expires: time.Now().Add(time.Hour).UTC()}
}

func (s *scene) approve(id string, in audit.Intent, who string) {
	s.t.Helper()
	allow := audit.Decision{Effect: audit.Allow}
	s.append(source, audit.CallApproval, "payments", audit.TopicCalls, id, audit.Approval{Digest: in.Digest, By: person(who), Decision: allow})
	vote := fmt.Sprintf("event-%d", s.made)
	s.append(source, audit.CallReleased, "payments", audit.TopicCalls, id, audit.Release{Decision: allow, Approvals: []string{vote}, Digest: in.Digest})
}

func (s *scene) deny(id, who string) {
	s.t.Helper()
	by := person(who)
	s.append(source, audit.CallDenied, "payments", audit.TopicCalls, id, audit.Outcome{Code: audit.CodeApprover, Reason: "no", By: &by, Decision: &audit.Decision{Effect: audit.Allow}})
}

func (s *scene) close(id string, typ audit.Type, code string) {
	s.t.Helper()
	s.append(source, typ, "payments", audit.TopicCalls, id, audit.Outcome{Code: code})
}

// box is a channel that remembers what it took.
type box struct {
	mu    sync.Mutex
	took  []notify.Message
	times []time.Time
	fail  func(m notify.Message, attempt int) error
	tries int
}

func (b *box) Send(_ context.Context, m notify.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.fail != nil {
		if err := b.fail(m, b.tries); err != nil {
			return err
		}
	}
	b.took, b.times = append(b.took, m), append(b.times, time.Now())
	return nil
}

// said is the titles of what it took.
func (b *box) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	titles := []string{}
	for _, m := range b.took {
		titles = append(titles, m.Title())
	}
	return titles
}

func (b *box) messages() []notify.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]notify.Message{}, b.took...)
}

// run starts a notifier, and returns it with what stops it.
func (s *scene) run(channels map[string]notify.Limited, change ...func(*notify.Config)) (*notify.Notifier, func()) {
	s.t.Helper()
	cfg := notify.Config{
		Log: s.log, Path: s.path, Channels: channels, Routes: s.routes, URL: "https://deed.example", Source: source,
		Words: func(_ context.Context, c calls.Call) (sentence.Sentence, error) {
			if words, ok := s.words[c.ID]; ok {
				return words, nil
			}
			return sentence.Sentence{Parts: []sentence.Part{{Text: "Refund "}, {Text: "250", Field: "/amount"}}, Template: "v1"}, nil
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	n, err := notify.Open(s.t.Context(), cfg)
	must(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, sync.OnceFunc(func() {
		cancel()
		must(s.t, <-done)
		must(s.t, n.Close())
	})
}

// after lets time pass, and all that it leads to happen.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
