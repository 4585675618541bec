package console_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/audit"
)

// finger has the browser be a phone that knows touches and no pointer.
func (b *browser) finger() {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(phone.width, phone.height))
	_, err := chromedp.Call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true, MaxTouchPoints: 1})
	must(b.t, err)
	_, err = chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "pointer", Value: "coarse"}, {Name: "hover", Value: "none"}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	must(b.t, err)
}

// visible finds the first element of a selector that can be seen.
const visible = `[...document.querySelectorAll(%q)].find((e) => e.checkVisibility())`

// tap touches the middle of what a selector finds first among what can be seen, until what
// that is for is so: a card that is not armed yet, or that moved just then, is touched again.
func (b *browser) tap(selector, until string) {
	b.t.Helper()
	b.repeat(b.touch, selector, until)
}

// click is tap by the pointer.
func (b *browser) click(selector, until string) {
	b.t.Helper()
	b.repeat(b.point, selector, until)
}

func (b *browser) repeat(act func(find string), selector, until string) {
	b.t.Helper()
	find := fmt.Sprintf(visible, selector)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		b.until(fmt.Sprintf("(%s) || %s", until, find))
		if ask[bool](b, "Boolean("+until+")") {
			return
		}
		act(find)
		ask[bool](b, "window.touched = performance.now(), true")
		b.until(fmt.Sprintf("(%s) || performance.now() - window.touched > 3000", until))
	}
	b.t.Fatalf("%s was touched again and again, and %s is not so\n%s", selector, until, b.text())
}

// middle is that of an element, if nothing is before it; else nothing.
func (b *browser) middle(find string) []float64 {
	b.t.Helper()
	return ask[[]float64](b, fmt.Sprintf(`(() => {
		const e = %s;
		e?.scrollIntoView({ block: 'center', behavior: 'instant' });
		const r = e?.getBoundingClientRect() ?? new DOMRect();
		const [x, y] = [r.x + r.width / 2, r.y + r.height / 2];
		const top = document.elementFromPoint(x, y);
		return e && (e === top || e.contains(top)) ? [x, y] : [];
	})()`, find))
}

// point clicks on the middle of an element.
func (b *browser) point(find string) {
	b.t.Helper()
	if at := b.middle(find); len(at) > 0 {
		b.do(chromedp.MouseClickXY(at[0], at[1]))
	}
}

// touch touches the middle of an element.
func (b *browser) touch(find string) {
	b.t.Helper()
	at := b.middle(find)
	if len(at) == 0 {
		return
	}
	for _, touch := range []input.DispatchTouchEventParams{
		{Type: input.DispatchTouchEventTypeTouchStart, TouchPoints: []*input.TouchPoint{{X: at[0], Y: at[1]}}},
		{Type: input.DispatchTouchEventTypeTouchEnd, TouchPoints: []*input.TouchPoint{}},
	} {
		_, err := chromedp.Call(b.ctx, input.DispatchTouchEvent, touch)
		must(b.t, err)
	}
}

// small are the controls that a finger could miss: those of less than 44 by 44 px, but for
// links within a text. A box is as large as the label around or beside it.
const small = `(() => {
	const odd = [];
	for (const e of document.querySelectorAll('a, button, input, select, textarea, summary')) {
		if (!e.checkVisibility() || e.closest('.skip')) continue;
		const within = e.localName === 'a' && [...e.parentNode.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim() !== '');
		const target = e.type === 'checkbox' ? e.closest('label') ?? e.closest('.choice') ?? e : e;
		const r = target.getBoundingClientRect();
		if (!within && (r.height < 43.9 || r.width < 43.9)) odd.push(Math.round(r.width) + ' x ' + Math.round(r.height) + ': ' + e.outerHTML.slice(0, 160));
	}
	return odd;
})()`

func (b *browser) large(where string) {
	b.t.Helper()
	for _, odd := range ask[[]string](b, small) {
		b.t.Errorf("%s: too small for a finger: %s", where, odd)
	}
	if wide := ask[int64](b, "document.documentElement.scrollWidth"); wide > phone.width {
		b.t.Errorf("%s: %d wide on a phone of %d", where, wide, phone.width)
	}
}

// On a phone everything can be done by a finger alone: each call is decided by taps, and
// nothing that is to be touched is too small on any page.
func TestAPersonDecidesByTouchAlone(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	must(t, s.call("a call"))
	b.finger()
	first, second := s.hold(321, "approve me"), s.hold(322, "deny me")
	card := func(id string) string { return fmt.Sprintf(`[data-call="%s"] `, id) }
	b.until("document.querySelectorAll('.card').length === 2")
	b.large("two calls wait")
	const none = `[...document.querySelectorAll('.question')].every((q) => q.hidden)`
	asked := func(id string) string {
		return fmt.Sprintf("document.querySelector(%q)", card(id)+".question:not([hidden])")
	}
	for _, question := range []string{".approve", ".deny", ".actions > .quiet:nth-of-type(3)", ".actions > .quiet:nth-of-type(4)"} {
		b.tap(card(first)+question, asked(first))
		b.large(question)
		b.tap(card(first)+".question:not([hidden]) .quiet:last-of-type", none)
	}
	says := func(text string) string { return fmt.Sprintf("document.body.innerText.includes(%q)", text) }
	b.tap(card(first)+".approve", asked(first))
	b.tap(card(first)+".question:not([hidden]) .primary", says("Approved by bob"))
	b.tap(card(second)+".deny", asked(second))
	b.tap(card(second)+".question:not([hidden]) textarea", "document.activeElement.localName === 'textarea'")
	_, err := chromedp.Call(b.ctx, input.InsertText, input.InsertTextParams{Text: "Not today."})
	must(t, err)
	b.tap(card(second)+".question:not([hidden]) [type=submit]", says("Denied by bob"))
	s.decided(first)
	s.decided(second)
	for id, want := range map[string]audit.Type{first: audit.CallResult, second: audit.CallDenied} {
		types := s.rig.Types(t, id)
		if types[len(types)-1] != want {
			t.Errorf("events are %v, want %s at the end", types, want)
		}
	}
	must(t, s.sealer.Seal(t.Context()))
	s.hold(323, "one of two alike")
	s.hold(324, "one of two alike")
	for _, page := range []struct{ link, says string }{
		{"#to-live", "payments.refund"},
		{"#to-history", "calls, the newest first."},
		{"#to-overview", "Waiting now"},
		{"#to-grants", "in advance"},
		{"#to-agents", "copilot"},
		{"#to-tools", "payments.refund"},
		{"#to-policy", "What they say"},
		{"#to-inbox", "Decide on 2 alike"},
	} {
		b.tap(page.link, fmt.Sprintf("document.querySelector(%q).hasAttribute('aria-current') && %s", page.link, says(page.says)))
		b.large(page.link)
	}
	b.tap(".more a:not([hidden]):last-of-type", "document.querySelectorAll('tbody tr').length === 2")
	b.large("calls alike")
	b.tap("tbody label", "document.querySelectorAll('tbody input:checked').length === 1")
	b.do(chromedp.Navigate(s.url + "/#/calls/" + first))
	b.until("document.querySelector('.proof')?.dataset.proof === 'proved'")
	b.tap(".proof summary", "document.querySelector('.proof details').open")
	b.sees("Compare, and trust that one")
	b.large("a call's page")
	b.tap("#help-button", "document.querySelector('#help').open")
	b.large("the help")
	_, err = chromedp.Call(b.ctx, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
	must(t, err)
}
