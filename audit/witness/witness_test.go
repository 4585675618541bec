package witness_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/audit/witness"
)

// history is a log with what seals it.
type history struct {
	log    *embedded.Log
	dir    string
	key    *seal.Key
	sealer *seal.Sealer

	rotations []audit.Rotation
}

func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{dir: t.TempDir()}
	var err error
	if h.log, err = embedded.Open(t.Context(), h.dir, embedded.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.log.Close() }) // a second time, after some tests
	if h.key, err = seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), audittest.Tenant); err != nil {
		t.Fatal(err)
	}
	if h.sealer, err = seal.NewSealer(seal.Config{Log: h.log, Trees: h.log, Key: h.key, Tenant: audittest.Tenant, Source: audittest.Source}); err != nil {
		t.Fatal(err)
	}
	h.append(t, audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: h.key.Verifier().String()}))
	return h
}

func (h *history) append(t *testing.T, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		if _, err := h.log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// call records n calls, and seals them.
func (h *history) call(t *testing.T, n int) {
	t.Helper()
	for range n {
		id := audittest.NewID()
		h.append(t, audittest.Intent(id, `{"amount":1}`), audittest.Result(id, `{"ok":true}`))
	}
	h.seal(t)
}

func (h *history) seal(t *testing.T) {
	t.Helper()
	if err := h.sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// round asks the witnesses, beside a sealer that runs, as a broker does.
func (h *history) round(t *testing.T, quorum int, clients ...*witness.Client) error {
	t.Helper()
	r, err := witness.NewRounds(witness.Config{Sealer: h.sealer, Trees: h.log, Witnesses: clients, Quorum: quorum, Rotations: func() []audit.Rotation { return h.rotations }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.sealer.Run(ctx) }()
	for !h.sealer.Leading() { // it is about to
		select {
		case err := <-done:
			t.Fatal(err)
		default:
		}
	}
	err = r.Round(ctx)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return err
}

func (h *history) verify(t *testing.T, o verify.Options) *verify.Report {
	t.Helper()
	return h.verifyWith(t, h.key.Verifier(), o)
}

func (h *history) verifyWith(t *testing.T, key seal.Verifier, o verify.Options) *verify.Report {
	t.Helper()
	reader, err := embedded.OpenReadOnly(t.Context(), h.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // only read
	o.Keys = []seal.Verifier{key}
	report, err := verify.Verify(t.Context(), reader, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// running is a witness that is asked over HTTP.
type running struct {
	*witness.Client
	dir      string
	cosigner *seal.Cosigner
	logs     []witness.Log
	server   *witness.Server
	http     *httptest.Server
}

func newWitness(t *testing.T, name string, keys ...seal.Verifier) *running {
	t.Helper()
	cosigner, err := seal.LoadOrCreateCosigner(filepath.Join(t.TempDir(), "keys", "witness.key"), name)
	if err != nil {
		t.Fatal(err)
	}
	w := &running{dir: filepath.Join(t.TempDir(), "signed"), cosigner: cosigner}
	for _, k := range keys {
		v, err := note.NewVerifier(k.String())
		if err != nil {
			t.Fatal(err)
		}
		w.logs = append(w.logs, witness.Log{Key: v})
	}
	w.start(t)
	return w
}

func (w *running) start(t *testing.T) {
	t.Helper()
	server, err := witness.NewServer(w.dir, w.cosigner, w.logs, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.server, w.http = server, httptest.NewServer(server)
	w.Client = &witness.Client{URL: w.http.URL, Key: w.cosigner.Key(), HTTP: w.http.Client()}
	t.Cleanup(func() { w.stop(t) })
}

func (w *running) stop(t *testing.T) {
	t.Helper()
	w.http.Close()
	if err := w.server.Close(); err != nil {
		t.Error(err)
	}
}

// What enough witnesses have signed verifies by their keys, and by no others; what is
// stripped of their signatures, or has too few, does not.
func TestWitnessedHistoryVerifies(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	one, two := newWitness(t, "one.example", h.key.Verifier()), newWitness(t, "two.example/w", h.key.Verifier())
	gone := newWitness(t, "three.example", h.key.Verifier())
	gone.http.Close()
	h.call(t, 5)
	before := h.verify(t, verify.Options{Witnesses: []seal.WitnessKey{one.Key}})
	if before.OK() || before.Findings[0].Rule != verify.Unwitnessed {
		t.Errorf("without a witness: %v", before.Findings)
	}
	for range 2 {
		if err := h.round(t, 2, one.Client, two.Client, gone.Client); err != nil {
			t.Fatal(err)
		}
		h.call(t, 3)
	}
	if err := h.log.Close(); err != nil {
		t.Fatal(err)
	}
	both := []seal.WitnessKey{one.Key, two.Key}
	r := h.verify(t, verify.Options{Witnesses: both})
	if !r.OK() {
		t.Errorf("witnessed: %v", r.Findings)
	}
	for _, l := range r.Logs {
		if l.Log == "payments/calls" && (l.Witnessed != 16 || l.Size != 22 || l.LastWitnessed.IsZero()) {
			t.Errorf("got %+v", l)
		}
	}
	if r := h.verify(t, verify.Options{Witnesses: append(both, gone.Key), WitnessQuorum: 2}); !r.OK() {
		t.Errorf("two of three: %v", r.Findings)
	}
	if r := h.verify(t, verify.Options{Witnesses: append(both, gone.Key)}); r.OK() {
		t.Error("three of three were not asked for")
	}
}

func TestTooFewWitnessesAreToldOf(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	one := newWitness(t, "one.example", h.key.Verifier())
	stranger := newWitness(t, "one.example", h.key.Verifier())
	stranger.Key = one.Key // it signs with another key than it is known by
	h.call(t, 1)
	err := h.round(t, 2, one.Client, stranger.Client)
	if err == nil {
		t.Fatal("one of two is enough")
	}
	if _, c, ok := h.sealer.Witnessed("payments/calls"); ok {
		t.Errorf("witnessed at %d", c.Size)
	}
}

// A witness that was killed, or whose log was, signs only what extends the past.
func TestWitnessKeepsWhatItSigned(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	w := newWitness(t, "one.example", h.key.Verifier())
	h.call(t, 4)
	if err := h.round(t, 0, w.Client); err != nil {
		t.Fatal(err)
	}
	w.stop(t)
	w.start(t)
	other := newHistory(t) // signs with the same key, and has another past
	other.key = h.key
	var err error
	if other.sealer, err = seal.NewSealer(seal.Config{Log: other.log, Trees: other.log, Key: h.key, Tenant: audittest.Tenant, Source: audittest.Source}); err != nil {
		t.Fatal(err)
	}
	for _, calls := range []int{1, 3, 5} { // shorter, as long, and longer than what was signed
		other.call(t, calls)
		if err := other.round(t, 0, w.Client); err == nil {
			t.Errorf("after %d more calls another history was signed", calls)
		}
	}
	if _, _, ok := other.sealer.Witnessed("payments/calls"); ok {
		t.Error("a fork is witnessed")
	}
	h.call(t, 2)
	if err := h.round(t, 0, w.Client); err != nil {
		t.Errorf("the true one is refused: %v", err)
	}
}

func TestWitnessAnswers(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	w := newWitness(t, "one.example", h.key.Verifier())
	h.call(t, 2)
	signed, c, _ := h.sealer.Latest("payments/calls")
	elsewhere, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), "other")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := elsewhere.Sign(seal.Checkpoint{Tenant: "other", Log: c.Log, Size: c.Size, Root: c.Root})
	if err != nil {
		t.Fatal(err)
	}
	hash := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	for _, test := range []struct {
		name, body string
		want       int
	}{
		{"nothing", "", http.StatusBadRequest},
		{"no size", "old\n\n" + signed, http.StatusBadRequest},
		{"a size below zero", "old -1\n\n" + signed, http.StatusBadRequest},
		{"a proof that is none", "old 0\nx\n\n" + signed, http.StatusBadRequest},
		{"too long a proof", "old 1\n" + strings.Repeat(hash, 64) + "\n" + signed, http.StatusBadRequest},
		{"a log that is not known", "old 0\n\n" + foreign, http.StatusNotFound},
		{"a signature that is not the log's", "old 0\n\n" + strings.Replace(signed, "deed/acme/payments/calls\n4", "deed/acme/payments/calls\n3", 1), http.StatusForbidden},
		{"more than is there", "old 9\n\n" + signed, http.StatusBadRequest},
		{"a proof of nothing", "old 0\n" + hash + "\n" + signed, http.StatusUnprocessableEntity},
		{"another past", "old 3\n\n" + signed, http.StatusConflict},
		{"the first", "old 0\n\n" + signed, http.StatusOK},
		{"the first again", "old 0\n\n" + signed, http.StatusConflict},
		{"the same again", fmt.Sprintf("old %d\n\n%s", c.Size, signed), http.StatusOK},
		{"the same with a proof", fmt.Sprintf("old %d\n%s\n%s", c.Size, hash, signed), http.StatusUnprocessableEntity},
	} {
		status, body := w.post(t, test.body)
		if status != test.want {
			t.Errorf("%s: HTTP %d %q, want %d", test.name, status, body, test.want)
		}
	}
	if status, body := w.post(t, "old 0\n\n"+signed); status != http.StatusConflict || body != fmt.Sprintf("%d\n", c.Size) {
		t.Errorf("conflict says %q", body)
	}
}

func (w *running) post(t *testing.T, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/add-checkpoint", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := w.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// The cosignature is checked with transparency-dev's implementation, which is not ours.
func TestCosignatureVerifiesElsewhere(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	w := newWitness(t, "one.example/w", h.key.Verifier())
	h.call(t, 3)
	if err := h.round(t, 0, w.Client); err != nil {
		t.Fatal(err)
	}
	signed, _, _ := h.sealer.Witnessed("payments/calls")
	theirs, err := formats.NewVerifierForCosignatureV1(w.Key.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(theirs))
	if err != nil || len(n.Sigs) != 1 {
		t.Fatalf("%+v, %v", n, err)
	}
	if when, err := formats.CoSigV1Timestamp(n.Sigs[0]); err != nil || when.IsZero() {
		t.Errorf("signed at %v, %v", when, err)
	}
}

func TestOneWitnessAtATimeHasADirectory(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	w := newWitness(t, "one.example", h.key.Verifier())
	if _, err := witness.NewServer(w.dir, w.cosigner, w.logs, nil); err == nil {
		t.Error("two have it")
	}
}
