package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

func TestNothingMovesUnderThePointerOrTheFocus(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	held := []string{s.hold(301, "one"), s.hold(302, "two")}
	b.until("document.querySelectorAll('.card').length === 2")
	top := func(id string) float64 {
		return ask[float64](b, fmt.Sprintf(`document.querySelector('[data-call="%s"]').getBoundingClientRect().top`, id))
	}
	b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 300, top(held[1])+20))
	before := top(held[1])
	if _, err := s.rig.Cancel(t.Context(), copilot, held[0], "not needed"); err != nil {
		t.Fatal(err)
	}
	s.hold(303, "three")
	b.until("document.querySelectorAll('.card').length === 3")
	b.sees("not needed")
	order := `[...document.querySelectorAll('.card .json')].map(e => e.textContent.match(/one|two|three/)[0]).join()`
	if got := ask[string](b, order); got != "one,two,three" {
		t.Errorf("the order is %s", got)
	}
	if after := top(held[1]); after > before+1 {
		t.Errorf("the card under the pointer went down from %v to %v", before, after)
	}

	b.rest()
	b.do(chromedp.Focus(`[data-call="` + held[1] + `"]`))
	b.press("d")
	b.do(chromedp.SendKeys(`[data-call="`+held[1]+`"] .question:not([hidden]) textarea`, "half a sen"))
	s.hold(304, "four and more")
	b.sees("four and more")
	b.do(chromedp.SendKeys(`[data-call="`+held[1]+`"] .question:not([hidden]) textarea`, "tence"))
	if got := ask[string](b, "document.activeElement.value"); got != "half a sentence" {
		t.Errorf("the field with the focus has %q", got)
	}
	b.until("document.querySelector('#announcer').textContent === '3 calls wait, 3 for you.'")
}

func TestLongArgumentsAreSeenWholeBeforeTheyAreApproved(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	id := s.hold(305, strings.Repeat("harmless words ", 500)+"and the sting")
	b.sees("Show all")
	shown := fmt.Sprintf(`document.querySelector('[data-call="%s"] .json').textContent.includes('and the sting')`, id)
	if ask[bool](b, shown) {
		t.Fatal("the arguments are not folded")
	}
	b.rest()
	b.do(chromedp.Click(`[data-call="` + id + `"] .approve`))
	b.until(shown)
}
