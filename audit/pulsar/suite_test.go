package pulsar_test

import (
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/audit/seal"
)

var (
	_ audittest.Engine = (*pulsar.Log)(nil)
	_ seal.Trees       = (*pulsar.Log)(nil)
)

// TestMain looks for what is left running. The client leaves a goroutine behind when a
// topic is terminated under its producer, and when a reader is closed whose broker is
// away while it is asked for the end of its topic; and the goroutines of a connection that
// a producer began to open again when its client was closed, since the pool takes it up all the same. (A client that nobody closes still
// shows by the goroutine of its pool.)
func TestMain(m *testing.M) {
	const (
		client = "github.com/apache/pulsar-client-go/pulsar."
		inside = "github.com/apache/pulsar-client-go/pulsar/internal."
	)
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(client+"(*partitionProducer).runEventsLoop.func1"),
		goleak.IgnoreAnyFunction(client+"(*partitionConsumer).getLastMessageIDAndMarkDeletePosition.func1"),
		goleak.IgnoreAnyFunction(inside+"(*connection).run"),
		goleak.IgnoreAnyFunction(inside+"(*connection).runPingCheck"),
		goleak.IgnoreAnyFunction(inside+"(*connectionReader).readFromConnection"),
		goleak.IgnoreAnyFunction("github.com/deedbroker/deed/audit/pulsar.(*patient).Close.func1.1"),
	)
}

// TestSuite gives each test, by its directory, a tenant of its own.
func TestSuite(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards tenants
	tenants := map[string]*pulsartest.Tenant{}
	audittest.Run(t, func(t *testing.T, place string) audittest.Engine {
		t.Helper()
		mu.Lock()
		tenant := tenants[place]
		mu.Unlock()
		if tenant == nil {
			tenant = pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments", "source"}})
			mu.Lock()
			tenants[place] = tenant
			mu.Unlock()
		}
		o := tenant.Options("test", place)
		o.Auth.TokenFile = tenant.AdminFile // so that it can erase
		l, err := pulsar.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
