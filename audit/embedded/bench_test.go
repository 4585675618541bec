package embedded_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

// BenchmarkAppend is the cost of a durable event with a payload, by the number of
// goroutines that append at once.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l, err := embedded.Open(b.Context(), b.TempDir()+"/log", embedded.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := l.Close(); err != nil {
					b.Error(err)
				}
			}()
			appendAtOnce(b, l, writers)
			s := l.Stats()
			b.ReportMetric(float64(s.Appends)/float64(s.Batches), "events/commit")
		})
	}
}

func appendAtOnce(b *testing.B, l *embedded.Log, writers int) {
	b.Helper()
	intent := audittest.Intent(audittest.NewID(), `{"account":"A-1017","amount":42,"currency":"EUR","reason":"double charge"}`)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	cpu := audittest.CPUTime(b)
	b.ResetTimer()
	b.ReportAllocs()
	for range writers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := l.Append(b.Context(), intent); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(audittest.CPUTime(b)-cpu)/float64(b.N), "cpu-ns/event")
}

// BenchmarkFollow is the cost of handing a new record to one of many followers.
func BenchmarkFollow(b *testing.B) {
	for _, followers := range []int{1, 100} {
		b.Run(fmt.Sprintf("followers=%d", followers), func(b *testing.B) {
			l, err := embedded.Open(b.Context(), b.TempDir()+"/log", embedded.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := l.Close(); err != nil {
					b.Error(err)
				}
			}()
			var wg sync.WaitGroup
			for range followers {
				wg.Go(func() { followTo(b, l, b.N) })
			}
			appendAtOnce(b, l, 16)
			wg.Wait()
		})
	}
}

func followTo(b *testing.B, l audit.Log, n int) {
	b.Helper()
	for _, err := range l.Follow(b.Context(), "") {
		if err != nil {
			b.Error(err)
			return
		}
		if n--; n == 0 {
			return
		}
	}
}
