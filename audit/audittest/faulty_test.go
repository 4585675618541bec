package audittest_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each fault gives the error that it should, and stores the event or not as that
// error says.
func TestFaults(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	for name, c := range map[string]struct {
		fault  audittest.Fault
		want   error
		stored int
	}{
		"none":     {audittest.Fault{When: audittest.OfType(audit.CallResult)}, nil, 1},
		"refused":  {audittest.Fault{Refuse: audit.ErrFull}, audit.ErrUnavailable, 0},
		"held":     {audittest.Fault{Hold: never}, audit.ErrUnavailable, 0},
		"late ack": {audittest.Fault{HoldAck: never}, audit.ErrUncertain, 1},
		"lost ack": {audittest.Fault{LoseAck: audit.ErrUncertain}, audit.ErrUncertain, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := embedded.Open(t.Context(), filepath.Join(t.TempDir(), "log"), embedded.Options{ReserveBytes: 512 << 10})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
			f := audittest.NewFaulty(l)
			seen := make(chan audit.Event, 1)
			c.fault.Seen, c.fault.Times = seen, 1
			f.Inject(c.fault)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.fault.Hold != nil {
				cancel()
			}
			if c.fault.HoldAck != nil {
				go cancelOnceStored(t.Context(), l, cancel)
			}
			if _, err := f.Append(ctx, audittest.Denied(audittest.NewID())); !errors.Is(err, c.want) {
				t.Errorf("append: %v, want %v", err, c.want)
			}
			records, err := audittest.All(t.Context(), f)
			if err != nil || len(records) != c.stored {
				t.Errorf("%d records (%v), want %d", len(records), err, c.stored)
			}
			if _, err := f.Append(t.Context(), audittest.Denied(audittest.NewID())); err != nil {
				t.Errorf("the fault happens once, but again: %v", err)
			}
		})
	}
}

func cancelOnceStored(ctx context.Context, l audit.Log, cancel func()) {
	defer cancel()
	if _, err := audittest.Take(l.Follow(ctx, ""), 1); err != nil {
		return // the append will tell: its context ends all the same
	}
}
