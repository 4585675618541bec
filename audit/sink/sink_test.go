package sink_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/export"
	"github.com/deedbroker/deed/audit/sink"
)

const patience = 30 * time.Second

func newLog(t *testing.T) *embedded.Log {
	t.Helper()
	l, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func put(t *testing.T, l audit.Log, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// called records n calls, and returns their ids.
func called(t *testing.T, l audit.Log, domain string, n int) []string {
	t.Helper()
	var ids []string
	for range n {
		id := audittest.NewID()
		intent, result := audittest.Intent(id, `{"amount":1}`), audittest.Result(id, `{"ok":true}`)
		intent.Domain, result.Domain = domain, domain
		put(t, l, intent, result)
		ids = append(ids, id)
	}
	return ids
}

// taker is a target that remembers, and fails as long as it is told to.
type taker struct {
	mu    sync.Mutex
	got   []string // guarded by mu
	fails error    // guarded by mu
	tries int      // guarded by mu
	news  chan struct{}
}

func newTaker() *taker { return &taker{news: make(chan struct{}, 1)} }

func (k *taker) Send(_ context.Context, entries []*export.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tries++
	defer func() {
		select {
		case k.news <- struct{}{}:
		default:
		}
	}()
	if k.fails != nil {
		return k.fails
	}
	for _, e := range entries {
		k.got = append(k.got, e.Call.ID)
	}
	return nil
}

func (k *taker) Close() error { return nil }

func (k *taker) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fails = err
}

// await waits until done says so of what was taken.
func (k *taker) await(t *testing.T, done func(got []string, tries int) bool) []string {
	t.Helper()
	deadline := time.After(patience)
	for {
		k.mu.Lock()
		got, tries := slices.Clone(k.got), k.tries
		k.mu.Unlock()
		if done(got, tries) {
			return got
		}
		select {
		case <-k.news:
		case <-deadline:
			t.Fatalf("taken in %d tries: %v", tries, got)
		}
	}
}

// running is a sink that runs until stop.
func running(t *testing.T, l sink.Log, path string, to sink.Target, domains ...string) (s *sink.Sink, stop func()) {
	t.Helper()
	s, err := sink.Open(sink.Config{Name: "test", Log: l, Target: to, Path: path, Domains: domains})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

// What ended while the sink was down, or while the target was, comes; what was open when
// it stopped comes when it ends, whole; and what was taken comes once.
func TestASinkGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	l, path, to := newLog(t), filepath.Join(t.TempDir(), "sinks", "test"), newTaker()
	open := audittest.NewID()
	put(t, l, audittest.Intent(open, `{"amount":1}`))
	want := called(t, l, "payments", 150)
	_, stop := running(t, l, path, to)
	to.await(t, func(got []string, _ int) bool { return len(got) == 150 })
	waitForPlace(t, path, `"payments/calls":300`)
	stop()

	to.fail(errors.New("away"))
	want = append(want, called(t, l, "payments", 3)...)
	put(t, l, audittest.Result(open, `{"ok":true}`))
	want = append(want, open)
	s, stop := running(t, l, path, to)
	_, tries := 0, 0
	to.await(t, func(_ []string, n int) bool { tries = n; return n >= 3 })
	if st := s.Status(time.Now()); st.Trouble == nil || st.Behind <= 0 {
		t.Errorf("after %d tries: %+v", tries, st)
	}
	stop() // the target has not taken them
	to.fail(nil)
	s, stop = running(t, l, path, to)
	got := to.await(t, func(got []string, _ int) bool { return len(got) >= len(want) })
	if !slices.Equal(got, want) {
		t.Errorf("got %d, want %d", len(got), len(want))
	}
	waitForPlace(t, path, `"payments/calls":307`)
	if st := s.Status(time.Now()); st.Trouble != nil || st.Behind != 0 || st.Sent != 4 {
		t.Errorf("at the end: %+v", st)
	}
	stop()
}

func waitForPlace(t *testing.T, path, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the place is %s, %v", b, err)
		}
	}
}

// Killed between what the target took and the file, it sends again, and leaves nothing out.
func TestNothingIsLeftOutAfterAKill(t *testing.T) {
	t.Parallel()
	l, path, to := newLog(t), filepath.Join(t.TempDir(), "test"), newTaker()
	first := called(t, l, "payments", 5)
	_, stop := running(t, l, path, to)
	to.await(t, func(got []string, _ int) bool { return len(got) == 5 })
	waitForPlace(t, path, `"payments/calls":9`)
	stop()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := called(t, l, "payments", 5)
	_, stop = running(t, l, path, to)
	to.await(t, func(got []string, _ int) bool { return len(got) == 10 })
	waitForPlace(t, path, `"payments/calls":19`)
	stop()
	if err := os.WriteFile(path, before, 0o600); err != nil { // as if it had been killed before
		t.Fatal(err)
	}
	third := called(t, l, "payments", 1)
	running(t, l, path, to)
	got := to.await(t, func(got []string, _ int) bool { return len(got) >= 16 })
	if want := slices.Concat(first, second, second, third); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOnlyTheDomainsAskedForAreSent(t *testing.T) {
	t.Parallel()
	l, to := newLog(t), newTaker()
	called(t, l, "source", 3)
	want := called(t, l, "payments", 2)
	called(t, l, "source", 3)
	want = append(want, called(t, l, "payments", 2)...)
	running(t, l, filepath.Join(t.TempDir(), "test"), to, "payments")
	if got := to.await(t, func(got []string, _ int) bool { return len(got) >= 4 }); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// entries are calls as a target gets them.
func entries(t *testing.T) []*export.Entry {
	t.Helper()
	l := newLog(t)
	id := audittest.NewID()
	put(t, l, audittest.Intent(id, `{"amount":1}`), audittest.Result(id, `{"ok":true}`))
	id = audittest.NewID()
	put(t, l, audittest.Intent(id, `{"amount":2}`), audittest.NewEvent(audit.CallFailed, id, audit.Outcome{Code: audit.CodeToolError, Reason: "it broke"}))
	f := export.NewFolder()
	var all []*export.Entry
	for r, err := range l.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e := f.Fold(r); e != nil {
			all = append(all, e)
		}
	}
	if len(all) != 2 {
		t.Fatalf("%d entries", len(all))
	}
	return all
}

// posted is a server that keeps what it got, and answers by answer.
func posted(t *testing.T, answer func(http.ResponseWriter, *http.Request, []byte)) sink.HTTP {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		answer(w, r, body)
	}))
	t.Cleanup(s.Close)
	return sink.HTTP{URL: s.URL + "/v1/logs", Client: s.Client(), Token: func(context.Context) (string, error) { return "t0ken", nil }}
}

func TestOTLPSaysWhatWasRejected(t *testing.T) {
	t.Parallel()
	rejected := int64(0)
	to := &sink.OTLP{Version: "1", HTTP: posted(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
		var request collector.ExportLogsServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil || len(request.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()) != 2 {
			t.Errorf("%v: %+v", err, &request)
		}
		if r.Header.Get("Authorization") != "Bearer t0ken" || r.URL.Path != "/v1/logs" {
			t.Errorf("%s, %v", r.URL, r.Header)
		}
		answer, err := proto.Marshal(&collector.ExportLogsServiceResponse{PartialSuccess: &collector.ExportLogsPartialSuccess{RejectedLogRecords: rejected}})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(answer) // the client would tell
	})}
	if err := to.Send(t.Context(), entries(t)); err != nil {
		t.Error(err)
	}
	rejected = 1
	if err := to.Send(t.Context(), entries(t)); err == nil {
		t.Error("a record was rejected, and all is well")
	}
}

func TestWebhooksAreSigned(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	var ids []string
	verifier, err := webhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	status := http.StatusOK
	to := &sink.Webhook{
		Version: "1", Secret: func(context.Context) (string, error) { return secret, nil },
		HTTP: posted(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
			if err := verifier.Verify(body, r.Header); err != nil {
				t.Error(err)
			}
			var got struct {
				Type string `json:"type"`
				Data struct {
					Calls []map[string]any `json:"calls"`
				} `json:"data"`
			}
			if err := json.Unmarshal(body, &got); err != nil || got.Type != sink.WebhookType || len(got.Data.Calls) != 2 || got.Data.Calls[0]["class_uid"] != 6003.0 {
				t.Errorf("%v: %s", err, body)
			}
			ids = append(ids, r.Header.Get("webhook-id"))
			w.WriteHeader(status)
		}),
	}
	batch := entries(t)
	status = http.StatusServiceUnavailable
	if err := to.Send(t.Context(), batch); err == nil {
		t.Error("it was not taken, and all is well")
	}
	status = http.StatusNoContent
	if err := to.Send(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("the same calls have the ids %v", ids)
	}
}

// What is sent is read with a parser of RFC 5424 and RFC 6587, over a connection that the
// other side closes in between.
func TestSyslogMessagesAreRFC5424(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got := make(chan *rfc5424.SyslogMessage, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := 0
			parser := octetcounting.NewParser(syslog.WithListener(func(r *syslog.Result) {
				if r.Error != nil {
					return // of the connection's end
				}
				got <- r.Message.(*rfc5424.SyslogMessage)
				if n++; n == 2 {
					_ = c.Close()
				}
			}))
			parser.Parse(bufio.NewReader(c))
		}
	}()
	for _, cef := range []bool{false, true} {
		to := &sink.Syslog{Address: l.Addr().String(), CEF: cef, Hostname: "here", Version: "1"}
		for round := range 2 {
			batch := entries(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := to.Send(ctx, batch); err != nil {
				t.Fatal(err)
			}
			for i, e := range batch {
				m := <-got
				data := (*m.StructuredData)["deed@32473"]
				if *m.Appname != "deed" || *m.Hostname != "here" || *m.MsgID != "call" || data["call"] != e.Call.ID || data["record"] != e.At.String() || *m.Severity != []uint8{5, 4}[i] {
					t.Errorf("round %d: %+v", round, m)
				}
				if strings.HasPrefix(*m.Message, "CEF:0|") != cef || !cef && !json.Valid([]byte(*m.Message)) {
					t.Errorf("it says %q", *m.Message)
				}
			}
			cancel()
		}
		if err := to.Close(); err != nil {
			t.Error(err)
		}
	}
}
