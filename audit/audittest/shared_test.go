package audittest_test

import (
	"context"
	"testing"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

// sharing is the model of a shared log, over an embedded one.
type sharing struct{ *audittest.Shared }

func (s sharing) Join(_ context.Context, name string) (audittest.Member, error) {
	m, err := s.Shared.Join(name)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (sharing) Lose(t *testing.T, m audittest.Member) (resume func()) {
	t.Helper()
	r, ok := m.(*audittest.Replica)
	if !ok {
		t.Fatalf("a session is a %T", m)
	}
	r.CutOff()
	return r.Return
}

func (sharing) Source(name string) string { return "deed://acme/" + name }

func TestSharedSuite(t *testing.T) {
	t.Parallel()
	audittest.RunShared(t, func(t *testing.T) audittest.Sharing {
		t.Helper()
		log, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{ReserveBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := log.Close(); err != nil {
				t.Errorf("close log: %v", err)
			}
		})
		return sharing{audittest.Share(log)}
	})
}
