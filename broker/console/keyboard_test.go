package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

// What keys do is a key away, and so is the search of each page; what is searched for
// stands in the address, and is there again on the next visit.
func TestKeysAreExplainedAndLeadToTheSearch(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	must(t, s.call("to be found"))
	s.hold(901, "another")
	b.sees("another")
	b.press("?")
	b.until("document.querySelector('#help').open")
	for _, key := range []string{"j, k", "a, then y", "d", "e", "/", "?"} {
		b.until(fmt.Sprintf("[...document.querySelectorAll('#help kbd')].some((k) => k.checkVisibility() && k.textContent === %q)", key))
	}
	b.look("help")
	b.press("/") // means nothing while the dialog is open
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until("!document.querySelector('#help').open && location.hash !== '#/history'")

	b.press("/")
	b.until("document.activeElement.id === 'by-q'")
	b.do(chromedp.SendKeys("#by-q", "found\r"))
	b.until("location.hash === '#/history?q=found'")
	b.sees("1 call, the newest first.")
	b.do(chromedp.Click("#to-live"))
	b.until("document.querySelectorAll('.feed li').length === 2")
	b.press("/")
	b.until("document.activeElement.id === 'filter'")
	b.do(chromedp.SendKeys("#filter", "/echo alice")) // there is no such tool
	b.sees("No call of late fits.")
	ask[bool](b, "document.querySelector('#filter').select(), true")
	b.do(chromedp.SendKeys("#filter", "echo alice"))
	b.until("document.querySelectorAll('.feed li').length === 1 && location.hash === '#/live?q=echo%20alice'")
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#/live?q=echo%20alice"))
	b.live()
	b.until("document.querySelectorAll('.feed li').length === 1 && document.querySelector('#filter').value === 'echo alice'")
}

// For a moment nothing on a card that came just now, and on a question that was asked just
// now, can be set off: a key or a touch that was meant for something else does nothing.
func TestWhatCameJustNowIsNotArmed(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	ask[bool](b, "window.then = Math.ceil(performance.now()), true")
	clock := func(ms int) { ask[bool](b, fmt.Sprintf("performance.now = () => then + %d, true", ms)) }
	asking := func() bool { return ask[bool](b, "document.querySelector('.question:not([hidden])') !== null") }
	clock(0) // it stands still
	id := s.hold(902, "just now")
	b.sees("just now")
	b.press("j")
	for _, early := range []int{0, 399} {
		clock(early)
		b.press("a")
		b.do(chromedp.Click(".card .approve"))
		if asking() {
			t.Fatalf("%d ms after it came a card is armed", early)
		}
	}
	clock(400)
	b.press("a")
	if !asking() {
		t.Fatal("the card is not armed")
	}
	b.press("y")
	b.do(chromedp.Click(".question:not([hidden]) .primary"))
	clock(799)
	b.press("y")
	if types := s.rig.Types(t, id); len(types) != 1 || ask[bool](b, "document.querySelector('.question:not([hidden]) .primary').disabled") {
		t.Fatalf("a question that was asked just now is armed: events are %v", types)
	}
	clock(800)
	b.press("y")
	b.sees("Approved by bob")
}

// Where several must approve, everybody sees who has, and nobody counts twice.
func TestAQuorumIsShownByName(t *testing.T) {
	t.Parallel()
	s := startWith(t, func(o *brokertest.Options) {
		o.Policies = strings.Replace(o.Policies, "approvals.count >= 1", "approvals.count >= 2", 1)
	})
	b := openBrowser(t)
	b.login(s, "bob")
	id := s.hold(903, "for two")
	b.sees("Waits for 2 approvals by those who are lead, has 0. You may decide.")
	b.rest()
	b.press("j")
	b.press("a")
	b.sees("with exactly the arguments above?")
	b.rest()
	b.press("y")
	b.sees("Waits for 2 approvals by those who are lead, has 1. Approved so far by bob.")
	b.sees("You approved")
	b.press("a") // once more: there is nothing to ask
	if ask[bool](b, "document.querySelector('.question:not([hidden]), .approve:not([hidden])') !== null") {
		t.Error("who has approved is asked again")
	}
	b.look("quorum")
	dave := bob(t, s)
	dave.Principal = "dave"
	h, err := s.rig.Held(t.Context(), dave, id)
	must(t, err)
	_, err = s.rig.Vote(t.Context(), broker.Vote{Identity: dave, CallID: id, Verdict: audit.Approve, Digest: h.Digest()})
	must(t, err)
	b.sees("Approved by bob, dave")
}
