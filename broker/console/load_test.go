package console_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	openHolds = 1000
	// manyEvents is how many come fast. DEED_TEST_EVENTS is for more of them.
	manyEvents = 30_000
)

// TestALoadedPageStaysQuickAndSmall has a thousand calls wait, and events come by at 500
// a second while somebody works; then many come as fast as they can. It reports how long
// each interaction took, by the browser's own Event Timing, and what the page keeps in
// memory, of which it must not keep ever more.
func TestALoadedPageStaysQuickAndSmall(t *testing.T) {
	s, b := start(t), openBrowser(t)
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
	ask[bool](b, `(() => {
		window.took = [];
		new PerformanceObserver((list) => list.getEntries().forEach((e) => e.interactionId && window.took.push([e.name, e.duration, Math.round(e.processingEnd - e.processingStart)]))).observe({ type: 'event', durationThreshold: 16, buffered: false });
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
	stop()
	calls.Wait()
	t.Logf("with %d open holds and 500 events a second: %s", openHolds, ask[string](b, `(() => {
		const d = window.took.sort((a, b) => a[1] - b[1]);
		return d.length + ' events took 16 ms or more; half of them less than ' + d[d.length >> 1]?.[1] + ' ms; the longest ' +
			d.slice(-6).map((x) => x[0] + ' ' + x[1]).join(', ') + '; of that the page itself worked at most ' + Math.max(0, ...d.map((x) => x[2])) + ' ms';
	})()`))

	b.do(chromedp.Click("#to-live"))
	var sizes []float64
	const steps = 6
	for range steps {
		s.many(eventsFromEnv(t) / 2 / steps)
		b.live()
		_, err := chromedp.Call(b.ctx, heapprofiler.CollectGarbage, cdp.Empty{})
		must(t, err)
		heap, err := chromedp.Call(b.ctx, runtime.GetHeapUsage, cdp.Empty{})
		must(t, err)
		sizes = append(sizes, heap.UsedSize/(1<<20))
	}
	t.Logf("heap after each of %d steps of %d events, in MiB: %.1f", steps, eventsFromEnv(t)/steps, sizes)
	if last, first := sizes[steps-1], sizes[0]; last > 1.3*first+4 {
		t.Errorf("the page keeps ever more: %.1f MiB after all events, %.1f after the first of them", last, first)
	}
	if n := ask[int](b, "document.querySelectorAll('*').length"); n > 20_000 {
		t.Errorf("the page has %d elements", n)
	}
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
