package pulsar_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestALivingReplicaIsNotTakenForDeadWhenPulsarWasAway kills Pulsar, and lets one of two
// replicas come back to it well after the other, who looks all the time whether it may
// take the place of the first.
func TestALivingReplicaIsNotTakenForDeadWhenPulsarWasAway(t *testing.T) {
	t.Parallel()
	gate := pulsartest.NewGate(t)
	p := need.OwnPulsar(t, gate.Settings("gate"))
	gate.Serve(strings.TrimPrefix(p.URL(), "pulsar://"))
	tenant := pulsartest.In(t, p.URL(), p.Admin(), p.Keys, pulsartest.Layout{Domains: []string{"payments"}, Partitions: 2})
	late, eager := tenant.Options("late", t.TempDir()), tenant.Options("eager", t.TempDir())
	late.URL, late.Listener = gate.URL(), "gate"
	eager.Listener = "internal"
	eager.Courtesy = 10 * time.Second // of which it gives several, for all that follows
	a, b := open(t, late), open(t, eager)
	event := func(name string) audit.Event { return of(tenant, name, audittest.Denied(audittest.NewID())) }
	appendAll(t, a, event("late"))
	appendAll(t, b, event("eager"))

	began := time.Now()
	if err := p.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	gate.Shut()
	looks, over := 0, make(chan struct{})
	looking := make(chan error, 1)
	go func() {
		for {
			select {
			case <-over:
				looking <- nil
				return
			default:
			}
			f, err := b.Fence(t.Context(), "deed://"+tenant.Name+"/late")
			if err == nil {
				looking <- errors.Join(errors.New("its place was taken"), f.Close())
				return
			}
			if looks++; !errors.Is(err, audit.ErrAlive) && !errors.Is(err, audit.ErrUnavailable) {
				looking <- err
				return
			}
			pause(t, 20*time.Millisecond)
		}
	}()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("Pulsar is back after %v", time.Since(began))
	eventually(t, "the first comes back", func() error { return attempt(t, b, event("eager")) })
	t.Logf("the first is back after %v", time.Since(began))
	pause(t, eager.Courtesy)
	gate.Open()
	eventually(t, "the second comes back", func() error { return attempt(t, a, event("late")) })
	t.Logf("the second is back after %v", time.Since(began))
	close(over)
	if err := <-looking; err != nil || looks == 0 {
		t.Errorf("after %d looks: %v", looks, err)
	}
}
