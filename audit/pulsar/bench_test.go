package pulsar_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsarbench"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
)

// BenchmarkStore measures what an event costs, with a payload and without, beside a bare
// message of its size.
func BenchmarkStore(b *testing.B) {
	tenant := pulsartest.New(b, pulsartest.Layout{Domains: []string{"payments"}})
	l, err := pulsar.Open(b.Context(), tenant.Options("a", b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it is over
	raw := "persistent://" + tenant.Name + "/deed/rejections"
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("bare/%d", writers), func(b *testing.B) {
			began := time.Now()
			took, err := pulsarbench.Publish(b.Context(), tenant.URL, tenant.TokenFile, raw, writers, 1200, 2*time.Second)
			if err != nil {
				b.Fatal(err)
			}
			say(b, took, time.Since(began))
		})
		for name, event := range map[string]func() audit.Event{
			"event": func() audit.Event { return audittest.Denied(audittest.NewID()) },
			"both":  func() audit.Event { return audittest.Intent(audittest.NewID(), `{"amount":1}`) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, writers), func(b *testing.B) {
				began := time.Now()
				say(b, storing(b, l, writers, 2*time.Second, func() audit.Event { return of(tenant, "a", event()) }), time.Since(began))
			})
		}
	}
}

// storing has writers store events, one after the other each, for a while, and returns how
// long each took.
func storing(b *testing.B, l *pulsar.Log, writers int, limit time.Duration, event func() audit.Event) (took []time.Duration) {
	b.Helper()
	var mu sync.Mutex // guards took
	var all sync.WaitGroup
	deadline := time.Now().Add(limit)
	for range writers {
		all.Go(func() {
			var own []time.Duration
			for time.Now().Before(deadline) {
				e := event()
				began := time.Now()
				if err := l.Store(b.Context(), e); err != nil {
					b.Error(err)
					break
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	all.Wait()
	return took
}

func say(b *testing.B, took []time.Duration, in time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(len(took))/in.Seconds(), "events/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
