package migrate_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/migrate"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// move is a history that is to be moved.
type move struct {
	dir, to string
	key     *seal.Key
	ids     map[string]string // of events, by what they are
}

func open(t *testing.T, dir string) *embedded.Log {
	t.Helper()
	l, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	must(t, err)
	return l
}

// history is a log of three calls, with revocations, legal holds and tools of which some
// are in force. What more returns stands at its end.
func history(t *testing.T, more func() []audit.Event) *move {
	t.Helper()
	dir := t.TempDir()
	m := &move{dir: filepath.Join(dir, "old"), to: filepath.Join(dir, "new"), ids: map[string]string{}}
	var err error
	m.key, err = seal.CreateKey(filepath.Join(dir, "keys", "key"), audittest.Tenant)
	must(t, err)
	l := open(t, m.dir)
	defer func() { must(t, l.Close()) }()
	past := time.Now().Add(-time.Hour)
	by := audittest.Identity()
	put := func(name string, e audit.Event) {
		m.ids[name] = e.ID
		_, err := l.Append(t.Context(), e)
		must(t, err)
	}
	control := func(name string, kind audit.Type, data any, payloads ...audit.Payload) {
		put(name, audittest.NewEvent(kind, "", data, payloads...))
	}
	pin := func(name, tool string) {
		text := audit.NewPayload(audit.PayloadDefinition, []byte(`{"name":"`+name+`"}`))
		control(name, audit.ToolPinned, audit.Pin{Tool: tool, Definition: "d", Text: text.Commitment()}, text)
	}
	control("started", audit.ReplicaStarted, audit.Started{Version: "1", Key: m.key.Verifier().String()})
	pin("old pin", "payments.refund")
	pin("pin", "payments.refund")
	control("revoked", audit.CallerRevoked, audit.Revocation{Kind: "agent", Value: "rogue", By: &by})
	control("lifted", audit.CallerRevoked, audit.Revocation{Kind: "agent", Value: "copilot", By: &by})
	control("lifting", audit.RevocationLifted, audit.Lifting{Revocation: m.ids["lifted"], By: by})
	control("over", audit.CallerRevoked, audit.Revocation{Kind: "agent", Value: "late", By: &by, Until: &past})
	control("hold", audit.LegalHoldPlaced, audit.LegalHold{Scope: audit.Scope{Principal: "alice"}, Reason: "case 17", By: by})
	for range 3 {
		id := audittest.NewID()
		put("intent", audittest.Intent(id, `{"amount":1}`))
		put("result", audittest.Result(id, `{"ok":true}`))
	}
	if more != nil {
		for _, e := range more() {
			put("more", e)
		}
	}
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: m.key, Tenant: audittest.Tenant, Source: audittest.Source})
	must(t, err)
	must(t, sealer.Seal(t.Context()))
	return m
}

func (m *move) place() string { return filepath.Join(filepath.Dir(m.dir), "archive") }

// run moves it into another embedded log, of which wrap makes what is written to.
func (m *move) run(t *testing.T, dry bool, wrap func(audit.Log) audit.Log) (migrate.Result, error) {
	t.Helper()
	l := open(t, m.dir)
	defer func() { must(t, l.Close()) }()
	o := m.options(l, archive.Dir(m.place()), m.place(), func(ctx context.Context) (audit.Log, error) {
		n, err := embedded.Open(ctx, m.to, embedded.Options{ReserveBytes: 1 << 20})
		if err != nil || wrap == nil {
			return n, err
		}
		return wrap(n), nil
	})
	o.DryRun = dry
	return migrate.Run(t.Context(), o)
}

func (m *move) options(old *embedded.Log, store archive.Store, place string, begin func(context.Context) (audit.Log, error)) migrate.Options {
	return migrate.Options{
		Old: old, Key: m.key, Tenant: audittest.Tenant, Version: "2", Source: "deed://" + audittest.Tenant + "/migrate",
		Store: store, Place: place, To: "there", New: begin,
	}
}

// proved verifies both parts together.
func (m *move) proved(t *testing.T, places ...string) *verify.Report {
	t.Helper()
	r, err := embedded.OpenReadOnly(t.Context(), m.to)
	must(t, err)
	defer r.Close() //nolint:errcheck // it was only read
	var kept []archive.Kept
	for _, place := range places {
		p, err := archive.Open(t.Context(), archive.Dir(place))
		must(t, err)
		defer p.Close() //nolint:errcheck // it was only read
		kept = append(kept, archive.Kept{Pack: p, Place: place})
	}
	report, err := archive.VerifyMoved(t.Context(), r, kept, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
	must(t, err)
	return report
}

func (m *move) ended(t *testing.T) []string {
	t.Helper()
	r, err := embedded.OpenReadOnly(t.Context(), m.to)
	must(t, err)
	defer r.Close() //nolint:errcheck // it was only read
	var have []string
	for rec, err := range r.Read(t.Context(), "") {
		must(t, err)
		head, err := audit.Peek(rec.Stored)
		must(t, err)
		have = append(have, string(head.Type)+" "+head.ID)
	}
	return have
}

func TestAHistoryIsMovedWithItsProofs(t *testing.T) {
	t.Parallel()
	m := history(t, nil)
	if got, err := m.run(t, true, nil); err != nil || got.Calls != 3 || got.Carried != 3 || got.Logs != nil {
		t.Fatalf("dry: %+v, %v", got, err)
	}
	if _, err := archive.Open(t.Context(), archive.Dir(m.place())); err == nil {
		t.Fatal("a dry run made an archive")
	}
	got, err := m.run(t, false, nil)
	if err != nil || got.Calls != 3 || got.Carried != 3 || len(got.Logs) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	want := []string{
		string(audit.ToolPinned) + " " + m.ids["pin"], string(audit.CallerRevoked) + " " + m.ids["revoked"], string(audit.LegalHoldPlaced) + " " + m.ids["hold"],
	}
	have := m.ended(t)
	if len(have) != 5 || !slices.Equal(have[1:4], want) {
		t.Errorf("the new log has %q, want between its first and last %q", have, want)
	}
	again, err := m.run(t, false, nil)
	if err != nil || !slices.Equal(again.Logs, got.Logs) || len(m.ended(t)) != 5 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if r := m.proved(t, m.place()); !r.OK() || len(r.Moved) != 2 {
		t.Errorf("together: %+v", r)
	}
	if r := m.proved(t); r.OK() {
		t.Error("it is proved without the archive")
	}
	other := history(t, nil)
	_, err = other.run(t, false, nil)
	must(t, err)
	if r := m.proved(t, other.place()); r.OK() {
		t.Error("it is proved with the archive of another history")
	}
}

// failing takes so many events, and then dies.
type failing struct {
	audit.Log

	left int
}

var errDied = errors.New("it died")

// Append is [audit.Log.Append].
func (f *failing) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	if f.left == 0 {
		return audit.Position{}, errDied
	}
	f.left--
	return f.Log.Append(ctx, e)
}

// Close is [io.Closer.Close].
func (f *failing) Close() error { return f.Log.(*embedded.Log).Close() }

func TestAMoveThatDiedIsGoneOnWith(t *testing.T) {
	t.Parallel()
	m := history(t, nil)
	for n := range 5 {
		if _, err := m.run(t, false, func(l audit.Log) audit.Log { return &failing{l, min(n, 1)} }); !errors.Is(err, errDied) {
			t.Fatalf("at %d: %v", n, err)
		}
	}
	got, err := m.run(t, false, nil)
	if err != nil || got.Carried != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if have := m.ended(t); len(have) != 5 {
		t.Errorf("the new log has %q", have)
	}
	if r := m.proved(t, m.place()); !r.OK() {
		t.Errorf("together: %+v", r)
	}
}

func TestWhatHasWorkLeftIsNotMoved(t *testing.T) {
	t.Parallel()
	id := audittest.NewID()
	for name, tt := range map[string]struct {
		more func() []audit.Event
		want string
	}{
		"an open call": {func() []audit.Event { return []audit.Event{audittest.Intent(id, `{}`)} }, "1 calls are open"},
		"an unknown one": {func() []audit.Event {
			return []audit.Event{audittest.Intent(id, `{}`), audittest.NewEvent(audit.CallUnknown, id, audit.Outcome{Code: audit.CodeCrash})}
		}, "reconcile them first"},
		"a call without an intent": {func() []audit.Event { return []audit.Event{audittest.Result(id, `{}`)} }, "it does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := history(t, tt.more)
			_, err := m.run(t, false, nil)
			if !errors.Is(err, migrate.ErrNotReady) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	m, other := history(t, nil), history(t, nil)
	m.to = other.to
	_, err := other.run(t, false, nil)
	must(t, err)
	if _, err := m.run(t, false, nil); !errors.Is(err, migrate.ErrNotReady) || !strings.Contains(err.Error(), "give its brokers the key of the old one") {
		t.Errorf("into a log of another key: %v", err)
	}
}

// A key that was rotated seals the new log, and whoever trusts the one before follows there too.
func TestRotationsAreCarriedOver(t *testing.T) {
	t.Parallel()
	m := history(t, nil)
	first := m.key
	var err error
	m.key, err = seal.CreateKey(filepath.Join(filepath.Dir(m.dir), "keys", "next"), audittest.Tenant)
	must(t, err)
	r, err := first.HandOver(m.key.Verifier())
	must(t, err)
	l := open(t, m.dir)
	_, err = l.Append(t.Context(), audittest.NewEvent(audit.KeyRotated, "", r))
	must(t, err)
	s, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: m.key, Trusted: []seal.Verifier{first.Verifier()}, Tenant: audittest.Tenant, Source: audittest.Source})
	must(t, err)
	must(t, s.Seal(t.Context()))
	must(t, l.Close())
	second := m.key
	m.key = first
	if _, err := m.run(t, false, nil); !errors.Is(err, migrate.ErrNotReady) {
		t.Fatalf("with the key that was replaced: %v", err)
	}
	m.key = second
	if _, err := m.run(t, false, nil); err != nil {
		t.Fatal(err)
	}
	if r := m.proved(t, m.place()); !r.OK() {
		t.Errorf("with the key in force: %v", r.Findings)
	}
	m.key = first
	sealNew(t, m.to, second)
	if r := m.proved(t, m.place()); !r.OK() || len(r.Keys) != 2 {
		t.Errorf("with the first key: %v, %v", r.Keys, r.Findings)
	}
}

func sealNew(t *testing.T, dir string, key *seal.Key) {
	t.Helper()
	l := open(t, dir)
	s, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Tenant: audittest.Tenant, Source: "deed://" + audittest.Tenant + "/migrate"})
	must(t, err)
	must(t, s.Seal(t.Context()))
	must(t, l.Close())
}
