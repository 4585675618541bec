package index_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/index"
)

// benchCalls can be set, to measure with a million.
var benchCalls = func() int {
	if n, err := strconv.Atoi(os.Getenv("DEED_BENCH_CALLS")); err == nil {
		return n
	}
	return 20_000
}()

func manyCalls(b *testing.B) *history {
	b.Helper()
	h := newHistory(b)
	var writers sync.WaitGroup
	for w := range 64 {
		writers.Go(func() {
			for n := w; n < benchCalls; n += 64 {
				id := audittest.NewID()
				e := audittest.Intent(id, fmt.Sprintf(`{"amount":%d,"note":"refund number-%d of customer-%d for a broken kettle"}`, n, n, n%500))
				for _, e := range []audit.Event{e, audittest.Result(id, `{"ok":true}`)} {
					if _, err := h.log.Append(b.Context(), e); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	return h
}

// BenchmarkFold is how fast an index is built from a log.
func BenchmarkFold(b *testing.B) {
	h := manyCalls(b)
	cpu := audittest.CPUTime(b)
	for b.Loop() {
		i, err := index.Open(b.Context(), filepath.Join(b.TempDir(), index.FileName), slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		h.catchUp(i)
		if err := i.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*2*benchCalls)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(audittest.CPUTime(b)-cpu)/float64(b.N*benchCalls), "cpu-ns/call")
}

// BenchmarkSearch is a page of 50 among many calls.
func BenchmarkSearch(b *testing.B) {
	i := manyCalls(b).indexed(filepath.Join(b.TempDir(), index.FileName))
	domains := []string{audittest.Domain}
	newest, oldest := ends(b, i, domains)
	at := func(part float64) time.Time { return oldest.Add(time.Duration(part * float64(newest.Sub(oldest)))) }
	for name, q := range map[string]index.Query{
		"newest":              {Domains: domains},
		"rare word":           {Domains: domains, Text: "number-4711"},
		"common word":         {Domains: domains, Text: "kettle"},
		"word with filters":   {Domains: domains, Text: "customer-17", Person: "alice", State: "closed", Tool: audittest.Tool},
		"person and agent":    {Domains: domains, Person: "alice", Agent: "copilot"},
		"filter that is rare": {Domains: domains, State: "held"},
		"common beginning":    {Domains: domains, Text: "kett*"},
		"beginning of some":   {Domains: domains, Text: "customer-17*"},
		"beginning of many":   {Domains: domains, Text: "number-4*"},
		"middle of the time":  {Domains: domains, Since: at(0.49), Until: at(0.51)},
		"early, by a word":    {Domains: domains, Until: at(0.1), Text: "kettle"},
		"since the middle":    {Domains: domains, Since: at(0.5), Text: "customer-17"},
		"before it all":       {Domains: domains, Until: at(-1)},
	} {
		q.Readable = domains
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := i.Search(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// ends are when the last call was opened, and the first.
func ends(b *testing.B, i *index.Index, domains []string) (newest, oldest time.Time) {
	b.Helper()
	page, err := i.Search(b.Context(), index.Query{Domains: domains, Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	start, err := i.Since(b.Context(), time.Unix(0, 0), int64(benchCalls))
	if err != nil {
		b.Fatal(err)
	}
	return page.Calls[0].Opened, start.First
}
