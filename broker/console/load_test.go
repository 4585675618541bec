package console_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

const (
	openHolds = 1000
	// manyEvents is how many come fast. DEED_TEST_EVENTS is for more of them.
	manyEvents = 30_000
)

// TestALoadedPageStaysQuickAndSmall has a thousand calls wait, and events come by at 500
// a second while somebody works; then many come as fast as they can, and he works once
// more. It reports how long each interaction took, by the browser's own Event Timing, and
// what the page keeps in memory, of which it must not keep ever more. An hour of 500
// events a second is
//
//	DEED_TEST_EVENTS=1800000 go run ./cmd/testbed test -- -timeout 2h -run TestALoadedPage ./broker/console
func TestALoadedPageStaysQuickAndSmall(t *testing.T) {
	s := startWith(t, func(o *brokertest.Options) {
		o.AckWait = patience // whatever else the machine has to do
		o.Policies = strings.ReplaceAll(policies, `"15m"`, `"24h"`)
	})
	b := openBrowser(t)
	b.countRecords()
	for i := range openHolds {
		s.hold(1000+i, "one of many")
	}
	b.login(s, "bob")
	b.until(fmt.Sprintf("document.querySelector('#count').textContent === '%d'", openHolds))
	b.until("document.querySelectorAll('.card').length >= 20")
	t.Logf("first paint: %s", ask[string](b, `(() => {
		const all = [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')].filter((e) => !e.name.includes('/v1/'));
		const sum = (k) => Math.round(all.reduce((n, e) => n + e[k], 0) / 1024);
		return all.length + ' files, ' + sum('encodedBodySize') + ' KiB over the wire, ' + sum('decodedBodySize') + ' KiB in all';
	})()`))
	t.Logf("with %d open holds and 500 events a second: %s", openHolds, s.worksUnderLoad(b))

	const steps, chunk = 6, 2000
	events := eventsFromEnv(t)
	if events > manyEvents {
		s.endIndex() // it would be half of an hour's data, and the page has no use for it
	}
	b.do(chromedp.Click("#to-live"))
	var sizes []float64
	for range steps {
		for left := events / 2 / steps; left > 0; left -= chunk {
			s.many(min(left, chunk))
			b.drawn(s)
		}
		sizes = append(sizes, b.heap())
		t.Logf("%d MiB of heap after %s", int(sizes[len(sizes)-1]), ask[string](b, "`${records.count} records, ${records.missed} of them missed`"))
	}
	t.Logf("heap after each of %d steps of %d events, in MiB: %.1f", steps, events/steps, sizes)
	if last, first := sizes[steps-1], sizes[0]; last > 1.3*first+4 {
		t.Errorf("the page keeps ever more: %.1f MiB after all events, %.1f after the first of them", last, first)
	}
	if got, missed := ask[int](b, "records.count"), ask[int](b, "records.missed"); got < events*9/10 || missed > 0 {
		t.Errorf("the page was sent %d records of at least %d, and missed %d", got, events*9/10, missed)
	}
	if n := ask[int](b, "document.querySelectorAll('*').length"); n > 20_000 {
		t.Errorf("the page has %d elements", n)
	}
	b.do(chromedp.Click("#to-inbox"))
	t.Logf("after all of them: %s", s.worksUnderLoad(b))
	if n := ask[string](b, "document.querySelector('#count').textContent"); n != strconv.Itoa(openHolds) {
		t.Errorf("%s calls wait in the end, want all %d", n, openHolds)
	}
}

// countRecords has the page count the records that come over its WebSockets, and those
// of the calls' log that it was not sent in their turn.
func (b *browser) countRecords() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.records = { count: 0, missed: 0, last: undefined };
		window.WebSocket = class extends WebSocket {
			constructor(...args) {
				super(...args);
				this.addEventListener('message', (m) => {
					for (const [, at] of m.data.matchAll(/"position":"payments\/calls@(\d+)"/g)) {
						records.count++;
						if (records.last !== undefined && Number(at) !== records.last + 1) records.missed++;
						records.last = Number(at);
					}
				});
			}
		}`})
	must(b.t, err)
}

// worksUnderLoad has a person go from call to call, begin to decide, and look at what
// happens live, while others' calls are made; it tells how long each interaction took.
func (s *stack) worksUnderLoad(b *browser) string {
	s.t.Helper()
	ask[bool](b, `(() => {
		window.timing?.disconnect();
		window.took = [];
		window.timing = new PerformanceObserver((list) => list.getEntries().forEach((e) => e.interactionId && window.took.push([e.name, e.duration, Math.round(e.processingEnd - e.processingStart)])));
		window.timing.observe({ type: 'event', durationThreshold: 16, buffered: false });
		return true;
	})()`)
	var calls sync.WaitGroup
	done := make(chan struct{})
	stop := sync.OnceFunc(func() { close(done) })
	defer calls.Wait()
	defer stop()
	calls.Go(func() { s.paced(done, 250) }) // each has an intent and a result
	b.rest()
	for range 8 {
		for _, key := range []string{"j", "j", "k", "a"} {
			b.press(key)
		}
		b.do(chromedp.KeyEvent(kb.Escape))
		b.press("d")
		b.do(chromedp.KeyEvent(kb.Escape))
		b.rest()
		b.do(chromedp.Click("#to-live"))
		b.rest()
		b.do(chromedp.Click("#to-inbox"))
		b.rest()
	}
	return ask[string](b, `(() => {
		const d = window.took.sort((a, b) => a[1] - b[1]);
		return d.length + ' events took 16 ms or more; half of them less than ' + d[d.length >> 1]?.[1] + ' ms; the longest ' +
			d.slice(-6).map((x) => x[0] + ' ' + x[1]).join(', ') + '; of that the page itself worked at most ' + Math.max(0, ...d.map((x) => x[2])) + ' ms';
	})()`)
}

// drawn makes one more call, and waits until the live page shows it.
func (b *browser) drawn(s *stack) {
	b.t.Helper()
	reply, err := s.rig.Call(b.t.Context(), broker.Request{Identity: copilot, Tool: "payments.echo", Arguments: []byte(`{"text":"the last of them"}`)})
	must(b.t, err)
	b.until(fmt.Sprintf("document.querySelector('.feed a[href=\"#/calls/%s\"]')", reply.CallID))
}

// heap is what the page keeps in memory, in MiB.
func (b *browser) heap() float64 {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, heapprofiler.CollectGarbage, cdp.Empty{})
	must(b.t, err)
	heap, err := chromedp.Call(b.ctx, runtime.GetHeapUsage, cdp.Empty{})
	must(b.t, err)
	return heap.UsedSize / (1 << 20)
}

func eventsFromEnv(t *testing.T) int {
	t.Helper()
	text := os.Getenv("DEED_TEST_EVENTS")
	if text == "" {
		return manyEvents
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// paced makes so many calls a second until done is closed.
func (s *stack) paced(done <-chan struct{}, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		case <-tick.C:
			calls.Go(func() {
				if err := s.call(fmt.Sprintf("paced %d", i)); err != nil {
					s.t.Error(err)
				}
			})
		}
	}
}

// many makes calls as fast as they can be recorded.
func (s *stack) many(n int) {
	var calls sync.WaitGroup
	const atOnce = 16
	for w := range atOnce {
		calls.Go(func() {
			for i := range n / atOnce {
				if err := s.call(fmt.Sprintf("fast %d %d", w, i)); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	calls.Wait()
}
