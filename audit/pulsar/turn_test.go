package pulsar_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
)

// aTurnIsOver cuts off the replica that seals while a checkpoint of its is on the way. What
// it meant to say comes to nothing once another has sealed, also when its turn comes again.
func (s *table) aTurnIsOver(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	join := func(name string) *pulsar.Log {
		m, err := s.Join(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() }) // some are by then
		return m.(*pulsar.Log)
	}
	checkpoint := func(by string) audit.Event {
		return of(s.tenant, by, audittest.NewEvent(audit.TreeSigned, "", audit.Checkpoint{Log: "payments/calls/0", Size: 1, Note: by}))
	}
	var sealed []string
	seals := func(l *pulsar.Log, by string) {
		if err := l.Lead(ctx); err != nil {
			t.Fatal(err)
		}
		e := checkpoint(by)
		if _, err := l.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, e.ID)
	}
	a, b := join("a"), join("b")
	seals(a, "a")
	back := s.Lose(t, a)
	if _, err := a.Append(ctx, checkpoint("a")); !errors.Is(err, audit.ErrUncertain) || ctx.Err() != nil {
		t.Fatalf("a checkpoint that nobody can acknowledge: %v", err)
	}
	seals(b, "b")
	back()
	eventually(t, "a's turn is over", func() error {
		_, err := a.Append(ctx, checkpoint("a"))
		return err
	}, audit.ErrFenced)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	seals(a, "a")
	c := join("c")
	var found []string
	for _, r := range all(t, c) {
		if e, err := r.Event(); err == nil && e.Type == audit.TreeSigned {
			found = append(found, e.ID)
		}
	}
	if !slices.Equal(found, sealed) {
		t.Errorf("the checkpoints are %q, want %q", found, sealed)
	}
}
