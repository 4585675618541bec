package console_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/broker"
)

// A person changes what an agent asked for; another sees what was changed, and
// decides on that.
func TestAPersonChangesWhatAnAgentAskedFor(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, other := openBrowser(t), openBrowser(t)
	b.login(s, "bob")
	other.login(s, "dave")
	id := s.hold(4310, "all of it")
	card := `[data-call="` + id + `"]`
	for _, each := range []*browser{b, other} {
		each.sees("all of it")
		each.rest()
		each.do(chromedp.Focus(card))
	}
	other.press("a") // he is about to approve what is changed under his eyes
	other.sees("with exactly the arguments above?")

	b.press("e")
	b.until("document.activeElement.tagName === 'TEXTAREA'")
	b.sees("Nothing is changed yet.")
	ask[bool](b, fmt.Sprintf(`(() => {
		const text = document.querySelector('%s textarea.code');
		text.value = text.value.replace('4310', '99.50');
		return text.dispatchEvent(new Event('input'));
	})()`, card))
	b.sees(`"amount": 99.50`)
	b.look("edit")
	b.rest()
	b.do(chromedp.Click(card + ` form.neutral:not([hidden]) button[type=submit]`))
	b.sees("integer") // the tool takes whole amounts only: nothing was changed
	ask[bool](b, fmt.Sprintf(`(() => {
		const text = document.querySelector('%s textarea.code');
		text.value = text.value.replace('99.50', '900');
		return text.dispatchEvent(new Event('input'));
	})()`, card))
	b.rest()
	b.do(chromedp.Click(card + ` form.neutral:not([hidden]) button[type=submit]`))
	b.sees("Approved so far by bob")

	other.sees("bob changed the arguments")
	other.until("document.querySelector('.question:not([hidden])') === null")
	other.sees(`"amount": 900`)
	other.look("edited")
	other.press("y") // of a question that is gone
	other.rest()
	other.do(chromedp.Focus(card))
	other.press("a")
	other.sees("with exactly the arguments above?")
	other.rest()
	other.press("y")
	other.sees("Approved by bob, dave")
	reply, err := s.rig.Await(t.Context(), copilot, id, nil)
	for deadline := time.Now().Add(patience); err == nil && reply.Pending != nil && time.Now().Before(deadline); {
		reply, err = s.rig.Await(t.Context(), copilot, id, nil)
	}
	if err != nil || reply.Edited == nil || !strings.Contains(string(reply.Edited.Arguments), `"amount":900`) {
		t.Errorf("the agent is told %+v, %v", reply, err)
	}
}

// A person approves calls like one in advance, sees what that would have covered, and
// takes it back.
func TestAPersonApprovesCallsInAdvance(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	id := s.hold(150, "a busy day")
	card := `[data-call="` + id + `"]`
	b.sees("a busy day")
	b.rest()
	b.do(chromedp.Focus(card))
	b.press("g")
	b.sees("Calls, this one included")
	ask[bool](b, fmt.Sprintf(`(() => {
		for (const li of document.querySelectorAll('%s form.neutral:not([hidden]) .conditions li')) {
			const kind = li.querySelector('select');
			if (li.innerText.startsWith('amount')) kind.value = 'is at most';
			if (li.innerText.startsWith('note')) kind.value = 'is anything';
		}
		return true;
	})()`, card))
	b.do(chromedp.Click(card + ` form.neutral:not([hidden]) button:not([type=submit]):not(.quiet)`))
	b.sees("calls alike in the last 30 days")
	b.look("grant")
	b.rest()
	b.do(chromedp.Click(card + ` form.neutral:not([hidden]) button[type=submit]`))
	b.sees("Approved by bob")

	for amount, held := range map[int]bool{120: false, 151: true} {
		reply, err := s.rig.Call(t.Context(), broker.Request{
			Identity: copilot, Tool: "payments.refund", Arguments: fmt.Appendf(nil, `{"amount":%d,"customer":"81","note":"more"}`, amount),
		})
		must(t, err)
		for deadline := time.Now().Add(patience); !held && reply.Pending != nil && time.Now().Before(deadline); {
			reply, err = s.rig.Await(t.Context(), copilot, reply.CallID, nil)
			must(t, err)
		}
		if (reply.Pending != nil) != held {
			t.Errorf("a refund of %d is held: %t", amount, reply.Pending != nil)
		}
	}
	b.do(chromedp.Navigate(s.url + "/#/grants"))
	b.sees("/amount is at most 150")
	b.sees("3 of 5 left")
	b.look("grants")
	b.do(chromedp.Click(`.grants .deny`))
	b.sees("taken back by bob")
}

// A person who denies a call can stop the agent with it, sees it stopped, and lets it
// go on.
func TestAPersonStopsAnAgent(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	id := s.hold(666, "again and again")
	card := `[data-call="` + id + `"] .question:not([hidden])`
	b.sees("again and again")
	b.rest()
	b.do(chromedp.Focus(`[data-call="` + id + `"]`))
	b.press("d")
	b.do(chromedp.SendKeys(card+` textarea`, "It does not stop by itself."), chromedp.Click(card+` input[type=checkbox]`))
	b.rest()
	b.do(chromedp.Click(card + ` button[type=submit]`))
	b.sees("Denied by bob")
	for deadline := time.Now().Add(patience); len(s.rig.Revocations(bob(t, s))) == 0 && time.Now().Before(deadline); {
		b.rest() // denied first, stopped then
	}
	if err := s.call("hello"); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("the stopped agent's call: %v", err)
	}
	b.do(chromedp.Navigate(s.url + "/#/agents"))
	b.sees("Stopped now")
	b.sees("It does not stop by itself.")
	b.until("document.querySelector('[data-agent=copilot] .chip')?.innerText === 'stopped'")
	b.look("agents")
	b.do(chromedp.Click(`[data-revocation] > .actions > button`), chromedp.SendKeys(`[data-revocation] form input`, "mended"))
	b.do(chromedp.Click(`[data-revocation] form button[type=submit]`))
	b.until("document.querySelector('[data-revocation]') === null")
	must(t, s.call("hello again"))

	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#/agents"))
	const agent = `[data-agent=copilot] `
	b.until("document.querySelector('[data-agent=copilot]').innerText.includes('For alice')")
	b.do(chromedp.Click(agent + `details summary`))
	b.until("[...document.querySelectorAll('[data-agent=copilot] .feed li')].some((li) => /denied[^]*payments.refund/.test(li.innerText))")
	b.do(chromedp.Click(agent+`.deny`), chromedp.SendKeys(agent+`form input`, "once more"), chromedp.Click(agent+`form button[type=submit]`))
	b.until("document.querySelector('[data-agent=copilot] .chip')?.innerText === 'stopped'")
	if err := s.call("hello?"); broker.AsError(err).Kind != broker.Denied {
		t.Errorf("the call of the agent that was stopped on its page: %v", err)
	}
}
