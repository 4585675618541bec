package verify_test

import (
	"context"
	"encoding/base64"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// trimmed is a history from which retention has removed the first records of the calls.
type trimmed struct {
	*memory
	first int64
}

func (s trimmed) gone(p audit.Position) bool { return p.Log == log && p.Index < s.first }

func (s trimmed) First(_ context.Context, name string) (int64, error) {
	if name == log {
		return s.first, nil
	}
	return 0, nil
}

func (s trimmed) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		for r, err := range s.memory.Read(ctx, from) {
			if !s.gone(r.Position) && !yield(r, err) {
				return
			}
		}
	}
}

func (s trimmed) Record(ctx context.Context, p audit.Position) (audit.Record, error) {
	if s.gone(p) {
		return audit.Record{}, audit.ErrNotFound
	}
	return s.memory.Record(ctx, p)
}

// frontier is what a tree of the history grows on from.
func (m *memory) frontier(c seal.Checkpoint) []string {
	roots, err := m.reader(c.Log).ReadHashes(seal.FrontierIndexes(c.Size))
	if err != nil {
		panic(err)
	}
	var text []string
	for _, r := range roots {
		text = append(text, base64.StdEncoding.EncodeToString(r[:]))
	}
	return text
}

// callAt is the id of a call that was made then.
func callAt(when time.Time) string {
	id := uuid.Must(uuid.NewV7())
	ms := uint64(when.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id.String()
}

// long is a history of calls, two records each, sealed after every third.
func long(tb testing.TB) *memory {
	tb.Helper()
	m := newMemory(tb)
	m.frontiers = true
	for i := range 20 {
		id := callAt(start.Add(time.Duration(i-60) * time.Second))
		m.intend(id, allow())
		if i%3 == 0 {
			m.seal()
		}
		m.result(id)
	}
	m.seal()
	return m
}

func TestWhatRetentionHasLeftIsProved(t *testing.T) {
	t.Parallel()
	m := long(t)
	for first := int64(0); first <= 40; first++ {
		r := check(t, trimmed{m, first}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
		if !r.OK() {
			t.Fatalf("from %d: %v", first, r.Findings)
		}
		for _, l := range r.Logs {
			if l.Log == log && l.Root != m.now(log).Root.String() {
				t.Errorf("from %d: the root is %q, want that of all records", first, l.Root)
			}
		}
		notes := strings.Join(r.Notes, "\n")
		if (first > 0) != strings.Contains(notes, "retention has removed") {
			t.Errorf("from %d: the notes are %q", first, notes)
		}
	}
}

func TestTamperingWithWhatRetentionHasLeftIsFound(t *testing.T) {
	t.Parallel()
	m := long(t)
	change(m, log, 30, func(o *audit.Intent) { o.Client = "another" })
	r := check(t, trimmed{m, 9}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
	if r.OK() || r.Findings[0].Rule != verify.RootMismatch {
		t.Errorf("findings are %v, want a root mismatch", r.Findings)
	}
}

func TestAFrontierOfAnotherTreeIsFound(t *testing.T) {
	t.Parallel()
	m := long(t)
	change(m, seal.CheckpointsLog, 3, func(c *audit.Checkpoint) { c.Frontier[0] = c.Frontier[len(c.Frontier)-1] })
	r := check(t, trimmed{m, 9}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
	for _, f := range r.Findings {
		if f.Rule == verify.BadCheckpoint {
			return
		}
	}
	t.Errorf("findings are %v, want a bad checkpoint", r.Findings)
}

// A call that began after the oldest record, and has no intent, is not one that retention cut.
func TestRetentionExcusesNoCallWithoutIntent(t *testing.T) {
	t.Parallel()
	m := long(t)
	m.result(callAt(start.Add(time.Hour)))
	r := check(t, trimmed{m, 9}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}})
	if r.OK() {
		t.Error("an outcome without an intent was not found")
	}
}

// emptied is a history from which all records of the calls are gone.
type emptied struct{ trimmed }

func (s emptied) Sizes(ctx context.Context) (map[string]int64, error) {
	sizes, err := s.trimmed.Sizes(ctx)
	delete(sizes, log)
	return sizes, err
}

// A log without a record is complete if retention was due for all of it, and not otherwise.
func TestALogThatRetentionHasEmptied(t *testing.T) {
	t.Parallel()
	m := long(t)
	age := time.Since(start.Add(time.Minute)) // since it was sealed
	for name, c := range map[string]struct {
		retention time.Duration
		ok        bool
	}{
		"it was due":     {age - time.Minute, true},
		"it was not due": {age + time.Hour, false},
		"nobody knows":   {0, false},
	} {
		source := emptied{trimmed{m, 41}}
		r := check(t, source, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}, Retention: c.retention})
		if r.OK() != c.ok {
			t.Errorf("%s: the findings are %v", name, r.Findings)
		}
		if !c.ok && (len(r.Findings) != 1 || r.Findings[0].Rule != verify.Truncated || r.Findings[0].Where.Log != log) {
			t.Errorf("%s: the findings are %v, want one of a truncated log", name, r.Findings)
		}
		if notes := strings.Join(r.Notes, "\n"); c.ok != strings.Contains(notes, "retention has removed all of its 40 records") {
			t.Errorf("%s: the notes are %q", name, notes)
		}
	}
}

// A checkpoint that was kept tells of more than the log ever sealed.
func TestRetentionExcusesNoRecordThatOnlyAKeptCheckpointTellsOf(t *testing.T) {
	t.Parallel()
	m := long(t)
	kept, err := m.key.Sign(m.now(log))
	if err != nil {
		t.Fatal(err)
	}
	m.records = slices.DeleteFunc(m.records, func(r audit.Record) bool { return r.Position.Log == seal.CheckpointsLog })
	r := check(t, emptied{trimmed{m, 41}}, verify.Options{Keys: []seal.Verifier{m.key.Verifier()}, Kept: []string{kept}, Retention: time.Nanosecond})
	if len(r.Findings) != 1 || r.Findings[0].Rule != verify.Truncated {
		t.Errorf("the findings are %v, want a truncated log", r.Findings)
	}
}
