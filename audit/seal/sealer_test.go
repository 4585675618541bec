package seal_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
)

// memoryLog is a log in memory: enough of one to be sealed, under a clock of the test's.
type memoryLog struct {
	audit.Log // reading is not needed

	mu      sync.Mutex
	trees   map[string]*tree
	refuses error
}

func newMemoryLog() *memoryLog { return &memoryLog{trees: map[string]*tree{}} }

func (m *memoryLog) Append(_ context.Context, e audit.Event) (audit.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuses != nil {
		return audit.Position{}, m.refuses
	}
	if m.trees[e.LogName()] == nil {
		m.trees[e.LogName()] = &tree{}
	}
	at := m.trees[e.LogName()]
	at.add(panicker{}, encode(e))
	return audit.Position{Log: e.LogName(), Index: int64(len(at.stored)) - 1}, nil
}

func (m *memoryLog) refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = err
}

func (m *memoryLog) Sizes(context.Context) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sizes := map[string]int64{}
	for name, tree := range m.trees {
		sizes[name] = int64(len(tree.stored))
	}
	return sizes, nil
}

func (m *memoryLog) Hashes(_ context.Context, log string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.trees[log].ReadHashes(indexes)
	})
}

func (m *memoryLog) Record(_ context.Context, p audit.Position) (audit.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return audit.Record{Position: p, Stored: m.trees[p.Log].stored[p.Index]}, nil
}

// checkpoints are the logs and sizes signed so far, in their order.
func (m *memoryLog) checkpoints(t *testing.T, key *seal.Key) []audit.Position {
	t.Helper()
	sizes, err := m.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []audit.Position
	for i := range sizes[seal.CheckpointsLog] {
		r, err := m.Record(t.Context(), audit.Position{Log: seal.CheckpointsLog, Index: i})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, signedBy(t, r, key, m))
	}
	return out
}

// signedBy opens the checkpoint in a record and checks it against the tree.
func signedBy(t *testing.T, r audit.Record, key *seal.Key, trees seal.Trees) audit.Position {
	t.Helper()
	e, err := r.Event()
	if err != nil {
		t.Fatal(err)
	}
	data, err := audit.DataOf[audit.Checkpoint](e)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := seal.OpenEvent(data, key.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(c.Size, trees.Hashes(t.Context(), c.Log))
	if err != nil || root != c.Root || e.Type != audit.TreeSigned {
		t.Errorf("%s signs %s of %s, the tree has %s (%v)", e.Type, c.Root, c.Log, root, err)
	}
	return audit.Position{Log: c.Log, Index: c.Size}
}

func newSealer(t *testing.T, log audit.Log, trees seal.Trees, key *seal.Key) *seal.Sealer {
	t.Helper()
	s, err := seal.NewSealer(seal.Config{Log: log, Trees: trees, Key: key, Tenant: "acme", Source: audittest.Source})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, log audit.Log, domain string) {
	t.Helper()
	e := audittest.Denied(audittest.NewID())
	e.Domain = domain
	if _, err := log.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// Within a second of an event its log is signed; a log that did not grow is not
// signed again; what came since the last look is signed when the sealer stops.
func TestSealerSealsWhatGrew(t *testing.T) {
	t.Parallel()
	key := newKey(t, "acme")
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		put(t, log, "payments")
		s := newSealer(t, log, log, key)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		expect := func(want ...audit.Position) {
			t.Helper()
			got := log.checkpoints(t, key)
			if len(got) != len(want) {
				t.Fatalf("signed %v, want %v", got, want)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("signed %v, want %v", got, want)
				}
			}
		}
		synctest.Wait()
		expect(audit.Position{Log: "payments/calls", Index: 1})
		time.Sleep(time.Minute) // of the test's clock: nothing grows
		expect(audit.Position{Log: "payments/calls", Index: 1})
		put(t, log, "source")
		put(t, log, "payments")
		put(t, log, "payments")
		time.Sleep(time.Second)
		grown := []audit.Position{{Log: "payments/calls", Index: 1}, {Log: "payments/calls", Index: 3}, {Log: "source/calls", Index: 1}}
		expect(grown...)
		log.refuse(audit.ErrUnavailable)
		time.Sleep(5 * time.Second)
		log.refuse(nil)
		put(t, log, "source")
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stopped with %v", err)
		}
		expect(append(grown, audit.Position{Log: "source/calls", Index: 2})...)
		if _, c, ok := s.Latest("source/calls"); !ok || c.Size != 2 {
			t.Errorf("the latest checkpoint is %+v (%t)", c, ok)
		}
	})
}

// A log that is not what was signed is never signed again.
func TestSealerRefusesAnotherHistory(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]func(*testing.T, *memoryLog){
		"cut short": func(t *testing.T, m *memoryLog) {
			t.Helper()
			m.trees["payments/calls"] = rebuilt(t, 2, "genuine")
		},
		"rewritten": func(t *testing.T, m *memoryLog) {
			t.Helper()
			m.trees["payments/calls"] = rebuilt(t, 3, "forged")
		},
		"rewritten and longer": func(t *testing.T, m *memoryLog) {
			t.Helper()
			m.trees["payments/calls"] = rebuilt(t, 9, "forged")
		},
		"gone": func(t *testing.T, m *memoryLog) {
			t.Helper()
			delete(m.trees, "payments/calls")
			put(t, m, "other")
		},
		"checkpoint forged": func(t *testing.T, m *memoryLog) {
			t.Helper()
			forger := newSealer(t, m, m, newKey(t, "acme"))
			put(t, m, "payments")
			m.trees[seal.CheckpointsLog] = &tree{}
			if err := forger.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, key := newMemoryLog(), newKey(t, "acme")
			log.trees["payments/calls"] = rebuilt(t, 3, "genuine")
			running := newSealer(t, log, log, key)
			if err := running.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
			tamper(t, log)
			before := len(log.trees[seal.CheckpointsLog].stored)
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			err := newSealer(t, log, log, key).Run(ctx)
			if _, ok := errors.AsType[*seal.InconsistentError](err); !ok {
				t.Errorf("a new sealer: %v, want an InconsistentError", err)
			}
			if after := len(log.trees[seal.CheckpointsLog].stored); after != before {
				t.Errorf("%d checkpoints were signed over it", after-before)
			}
			if name == "rewritten" || name == "checkpoint forged" {
				return // a running sealer sees only what grows
			}
			err = running.Seal(t.Context())
			if _, ok := errors.AsType[*seal.InconsistentError](err); !ok {
				t.Errorf("a running sealer: %v, want an InconsistentError", err)
			}
		})
	}
}

func rebuilt(t *testing.T, n int, text string) *tree {
	t.Helper()
	out := &tree{}
	for range n {
		out.add(t, []byte(text))
	}
	return out
}

// A key that succeeds another signs every log, also one that has not grown since.
func TestASuccessorSignsEveryLog(t *testing.T) {
	t.Parallel()
	l, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{ReserveBytes: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	put(t, l, "payments")
	put(t, l, "source")
	first, second := newKey(t, "acme"), newKey(t, "acme")
	s, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: first, Tenant: "acme", Source: audittest.Source})
	if err != nil {
		t.Fatal(err)
	}
	for _, succeed := range []func(){func() {}, func() { s.Succeed(second, nil) }, func() {}} {
		succeed()
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, log := range []string{"payments/calls", "source/calls"} {
		note, c, ok := s.Latest(log)
		if _, by, err := seal.OpenCheckpoint(note, second.Verifier()); !ok || err != nil || by.String() != s.Verifier().String() || c.Size != 1 {
			t.Errorf("%s is signed otherwise: %v", log, err)
		}
	}
	if sizes, err := l.Sizes(t.Context()); err != nil || sizes[seal.CheckpointsLog] != 4 {
		t.Errorf("there are %d checkpoints (%v)", sizes[seal.CheckpointsLog], err)
	}
}

// On the embedded log, over restarts and a key rotation.
func TestSealerOnTheEmbeddedLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	old, successor := newKey(t, "acme"), newKey(t, "acme")
	for i, key := range []*seal.Key{old, old, successor} {
		l, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 512 << 10})
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, "payments")
		s, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Trusted: []seal.Verifier{old.Verifier()}, Tenant: "acme", Source: audittest.Source})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time nothing has grown
			if err := s.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r, err := l.Record(t.Context(), audit.Position{Log: seal.CheckpointsLog, Index: int64(i)})
		if err != nil {
			t.Fatal(err)
		}
		if got := signedBy(t, r, key, l); got.Index != int64(i)+1 {
			t.Errorf("opening %d signed %s", i, got)
		}
		if sizes, err := l.Sizes(t.Context()); err != nil || sizes[seal.CheckpointsLog] != int64(i)+1 {
			t.Errorf("opening %d: %d checkpoints (%v)", i, sizes[seal.CheckpointsLog], err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
