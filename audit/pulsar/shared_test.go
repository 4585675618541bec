package pulsar_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	keys "github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// gates are as many replicas as the tests of a shared log open at the same time, each
// with a way to Pulsar that can be cut.
const gates = 48

// table is one test's log, and its replicas.
type table struct {
	tenant *pulsartest.Tenant
	dir    string
	free   chan int // numbers of gates
	gates  []*pulsartest.Gate

	mu  sync.Mutex
	way map[audittest.Member]*pulsartest.Gate // guarded by mu
}

func (s *table) Join(ctx context.Context, name string) (audittest.Member, error) {
	n := <-s.free
	o := s.tenant.Options(name, s.dir)
	o.Dir += fmt.Sprint(n)
	o.URL, o.Listener = s.gates[n].URL(), fmt.Sprintf("gate%d", n)
	o.Courtesy = 300 * time.Millisecond
	l, err := pulsar.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.way[l] = s.gates[n]
	return l, nil
}

func (s *table) Lose(t *testing.T, m audittest.Member) (resume func()) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.way[m].Shut()
	return s.way[m].Open
}

func (s *table) Source(name string) string { return "deed://" + s.tenant.Name + "/" + name }

func TestSharedSuite(t *testing.T) {
	t.Parallel()
	all, free, listeners := make([]*pulsartest.Gate, gates), make(chan int, gates), []string{"internal:pulsar://127.0.0.1:" + keys.BrokerPort}
	for i := range all {
		all[i] = pulsartest.NewGate(t)
		free <- i
		listeners = append(listeners, fmt.Sprintf("gate%d:%s", i, all[i].URL()))
	}
	own := need.OwnPulsar(t, map[string]string{"advertisedListeners": strings.Join(listeners, ","), "internalListenerName": "internal"})
	for _, g := range all {
		g.Serve(strings.TrimPrefix(own.URL(), "pulsar://"))
	}
	open := func(t *testing.T) *table {
		t.Helper()
		tenant := pulsartest.In(t, own.URL(), own.Admin(), own.Keys, pulsartest.Layout{Domains: []string{"payments"}, Partitions: 2})
		return &table{tenant: tenant, dir: t.TempDir(), free: free, gates: all, way: map[audittest.Member]*pulsartest.Gate{}}
	}
	audittest.RunShared(t, func(t *testing.T) audittest.Sharing {
		t.Helper()
		return open(t)
	})
	t.Run("a turn that is over", func(t *testing.T) {
		t.Parallel()
		open(t).aTurnIsOver(t)
	})
}
