package console_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/tools"
)

// Whoever looks at the tools sees how the servers behind them fare, and it changes by itself.
func TestTheToolsPageTellsHowUpstreamsFare(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	b.do(chromedp.Click("#to-tools"))
	row := func(state, why string) {
		b.until(fmt.Sprintf(`(() => {
			const row = document.querySelector('[data-upstream="payments"]');
			return row !== null && row.querySelector('.chip').textContent === %q && row.textContent.includes(%q);
		})()`, state, why))
	}
	row("well", "")
	s.payments.SetHealth(errors.New("the disk is full"))
	row("in trouble", "the disk is full")
	b.look("upstreams")
	s.payments.SetHealth(nil)
	row("well", "")
	s.payments.Crash(errors.New("it ended with exit status 3"))
	row("well", "It stopped")
	row("well", "it ended with exit status 3")
	s.payments.SetHealth(fmt.Errorf("%w: <img src=x onerror=alert(1)>", tools.ErrUncertain))
	row("in trouble", "<img src=x onerror=alert(1)>")
}
