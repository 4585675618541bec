package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestReplicasOnAPulsarCluster is TestReplicasOnOnePulsar on a cluster that loses a
// bookie, and the broker that serves the calls, at the same time.
func TestReplicasOnAPulsarCluster(t *testing.T) {
	c := need.PulsarCluster(t)
	f := newFleetOn(t, 3, c.URL(), c.Admin(), c.Keys)
	f.cluster = c
	newLoad(f, usualCalls).prove(t, []trouble{
		{"a bookie and the owning broker are killed, and no replica ends", func(t *testing.T, f *fleet, random *rand.Rand) {
			t.Helper()
			f.loseNodes(t, pulsar.Bookies()[random.IntN(len(pulsar.Bookies()))], f.owner(t))
		}},
		{"a replica is killed, and the others bury it", func(t *testing.T, f *fleet, random *rand.Rand) {
			t.Helper()
			r := f.any(random)
			r.end(t)
			f.awaitBuried(t, r, time.Now())
			f.start(t, r)
			f.awaitReady(t, r)
		}},
	})
}

// owner is the broker that serves one of the topics of calls.
func (f *fleet) owner(t *testing.T) string {
	t.Helper()
	owner, err := f.cluster.Owner(t.Context(), pulsar.Brokers()[0], "persistent://"+f.tenant.Name+"/work/calls-partition-0")
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

// loseNodes kills nodes, and has them back when every replica has come to terms with it.
func (f *fleet) loseNodes(t *testing.T, nodes ...string) {
	t.Helper()
	began := time.Now()
	for _, n := range nodes {
		if err := f.cluster.KillNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	f.rest(t, 2*time.Second)
	f.awaitProgress(t)
	t.Logf("%v after %v were killed calls go on", time.Since(began).Round(time.Millisecond), nodes)
	for _, n := range nodes {
		if err := f.cluster.StartNode(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range f.replicas {
		f.awaitReady(t, r)
	}
	f.awaitProgress(t)
}

// awaitProgress waits until more calls than can have been under way are answered.
func (f *fleet) awaitProgress(t *testing.T) {
	t.Helper()
	from := f.load.answers()
	f.until(t, "calls are answered", func() error {
		if now := f.load.answers(); now < from+4*agentsAtWork {
			return fmt.Errorf("%d so far", now-from)
		}
		return nil
	})
}
