package seal_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// turns gives one replica after the other the right to append checkpoints.
type turns struct {
	*memoryLog
	free chan struct{} // has room when nobody leads

	mu     sync.Mutex
	leader string // guarded by mu
}

// seat is one replica's place among them.
type seat struct {
	*turns
	name string
}

func (s seat) Lead(ctx context.Context) error {
	select {
	case s.free <- struct{}{}:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leader = s.name
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s seat) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != s.name {
		return audit.Position{}, fmt.Errorf("append: %w", audit.ErrFenced)
	}
	return s.memoryLog.Append(ctx, e)
}

// depose ends a replica's turn without its knowledge, as a long pause does.
func (t *turns) depose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leader = ""
	<-t.free
}

// Of two replicas one seals; the other takes over where it stopped; both know the
// newest checkpoint; nothing is signed twice, or out of order.
func TestReplicasTakeTurnsInSealing(t *testing.T) {
	t.Parallel()
	key := newKey(t, "acme")
	synctest.Test(t, func(t *testing.T) {
		table := &turns{memoryLog: newMemoryLog(), free: make(chan struct{}, 1)}
		sealers := map[string]*seal.Sealer{}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			s, err := seal.NewSealer(seal.Config{
				Log: seat{table, name}, Trees: table, Key: key, Tenant: "acme", Source: "deed://acme/" + name, Turn: seat{table, name},
			})
			if err != nil {
				t.Fatal(err)
			}
			sealers[name] = s
			running.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
			synctest.Wait()
		}
		for round := range int64(6) {
			put(t, table, "payments")
			time.Sleep(2 * time.Second)
			for name, s := range sealers {
				if _, c, ok := s.Latest("payments/calls"); !ok || c.Size != round+1 {
					t.Errorf("round %d: %s knows the checkpoint at %d", round, name, c.Size)
				}
			}
			if round%2 == 1 {
				table.depose()
			}
		}
		stop()
		running.Wait()
		signed := table.checkpoints(t, key)
		for i, p := range signed {
			if p.Index != int64(i)+1 {
				t.Errorf("checkpoint %d is of size %d", i, p.Index)
			}
		}
		if len(signed) != 6 {
			t.Errorf("signed %v", signed)
		}
	})
}
