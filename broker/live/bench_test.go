package live_test

import (
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/broker/live"
)

// BenchmarkThousandViewers appends 500 records a second while 1,000 viewers read all
// of them, and reports the CPU time of the whole process, clients included, in
// percent of one core.
func BenchmarkThousandViewers(b *testing.B) {
	const viewers, perSecond = 1000, 500
	r := start(b, func(c *live.Config) { c.Limits = live.Limits{MaxViewersPerIdentity: viewers} })
	var reading sync.WaitGroup
	for range viewers {
		ws, _, err := websocket.DefaultDialer.DialContext(b.Context(), r.url, as("alice"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = ws.Close() })
		reading.Go(func() {
			for {
				_, frames, err := ws.NextReader()
				if err != nil {
					return
				}
				if _, err := io.Copy(io.Discard, frames); err != nil {
					return
				}
			}
		})
	}
	events := make([]audit.Event, 64)
	for i := range events {
		events[i] = audittest.Intent(audittest.NewID(), `{"amount":1}`)
	}
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	before, begun := processTime(b), time.Now()
	for n := 0; b.Loop(); n++ {
		<-tick.C
		r.log.event(b, events[n%len(events)])
	}
	used, took := processTime(b)-before, time.Since(begun)
	b.ReportMetric(100*used.Seconds()/took.Seconds(), "%cpu")
	b.ReportMetric(float64(r.hub.Stats().Dropped), "dropped")
	r.stop()
	reading.Wait()
}

func processTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
