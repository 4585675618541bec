package main

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trouble is what goes wrong while the load runs. Each is over before the next begins.
type trouble struct {
	what string
	make func(*testing.T, *fleet, *rand.Rand)
}

func troubles() []trouble {
	return []trouble{
		{"a replica is killed, and started again at once", func(t *testing.T, f *fleet, random *rand.Rand) {
			t.Helper()
			r := f.any(random)
			r.end(t)
			f.start(t, r)
			f.awaitReady(t, r)
		}},
		{"a replica is killed, and the others bury it", func(t *testing.T, f *fleet, random *rand.Rand) {
			t.Helper()
			r := f.any(random)
			r.end(t)
			f.awaitBuried(t, r, time.Now())
			f.start(t, r)
			f.awaitReady(t, r)
		}},
		{"a replica is stopped, buried, and wakes up", func(t *testing.T, f *fleet, random *rand.Rand) {
			t.Helper()
			r := f.any(random)
			process := r.process().cmd.Process
			if err := process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			f.mayEnd[r] = true
			f.awaitBuried(t, r, time.Now())
			if err := process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			f.rest(t, 5*time.Second)
			f.awaitReady(t, r)
		}},
		{"Pulsar is killed, and no replica ends", func(t *testing.T, f *fleet, _ *rand.Rand) {
			t.Helper()
			if err := f.pulsar.Kill(t.Context()); err != nil {
				t.Error(err)
			}
			began := time.Now()
			f.rest(t, 2*time.Second)
			if err := f.pulsar.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("Pulsar is back after %v", time.Since(began))
			for _, r := range f.replicas {
				f.awaitReady(t, r)
			}
			f.awaitProgress(t)
			t.Logf("calls go on after %v", time.Since(began))
		}},
	}
}

func (f *fleet) any(random *rand.Rand) *replicaProcess {
	return f.replicas[random.IntN(len(f.replicas))]
}

// awaitBuried waits until the others have closed what a replica was running at a moment.
func (f *fleet) awaitBuried(t *testing.T, dead *replicaProcess, at time.Time) {
	t.Helper()
	other := f.replicas[0]
	if other == dead {
		other = f.replicas[1]
	}
	began := time.Now()
	for _, state := range []string{"running", "released"} {
		f.until(t, dead.name+" is buried", func() error {
			left, err := other.bob.Calls(t.Context(), url.Values{"state": {state}, "until": {at.UTC().Format(time.RFC3339Nano)}}, 1)
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("call %s is %s", left[0].CallID, left[0].State)
			}
			if err != nil && len(left) > 0 && time.Since(began) > patience {
				err = fmt.Errorf("%w%s", err, f.told(t, left[0].CallID))
			}
			return err
		})
	}
}

// told is what each replica that runs tells of a call.
func (f *fleet) told(t *testing.T, id string) string {
	t.Helper()
	var b strings.Builder
	for _, r := range f.replicas {
		c, err := r.bob.Metadata(t.Context(), id)
		fmt.Fprintf(&b, "\n%s: %s (%v)", r.name, c.State, err)
		for _, e := range c.Events {
			fmt.Fprintf(&b, "\n\t%s %.700s", e.Position, e.Event)
		}
	}
	return b.String()
}
