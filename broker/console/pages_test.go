package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// decided waits until a call is over.
func (s *stack) decided(id string) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		reply, err := s.rig.Await(s.t.Context(), copilot, id, nil)
		if err != nil || reply.Pending == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("call %s is not over", id)
		}
	}
}

// What a person decides on is on the card: what the agent and the tool say of themselves,
// and what was decided of the like.
func TestACardHasTheFacts(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	for i, verdict := range []audit.Verdict{audit.Approve, audit.Approve, audit.Reject} {
		id := s.hold(200+i, "before")
		h, err := s.rig.Held(t.Context(), bob(t, s), id)
		must(t, err)
		_, err = s.rig.Vote(t.Context(), broker.Vote{Identity: bob(t, s), CallID: id, Verdict: verdict, Digest: h.Digest(), Reason: "so"})
		must(t, err)
		s.decided(id)
	}
	monday := brokertest.Through(brokertest.Person("alice", "support"), "copilot")
	monday.Session = "alice-monday"
	id := s.holdAs(monday, 300, "and now")
	card := `[data-call="` + id + `"]`
	b.until("document.querySelector('" + card + "') !== null")
	for _, fact := range []string{
		"destructive", "not safe to repeat", "reaches outside", "The agent's own words, not verified", "The customer asked for it:",
		"The like was asked 3 times in 30 days: 2 approved, 1 denied.", "What else happened in this session",
	} {
		b.sees(fact)
	}
	b.look("facts")
	b.do(chromedp.Click(`//a[text()="What else happened in this session"]`))
	b.until("location.hash === '#/history?session=alice-monday'")
	b.sees("1 call, the newest first.")
}

// Calls alike are decided on in one table. Each has a vote of its own, on its own digest
// and on what its row said.
func TestCallsAlikeAreDecidedInOneTable(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	var ids []string
	for i := range 4 {
		ids = append(ids, s.hold(500+i, "lamp"))
	}
	b.sees("Decide on 4 alike")
	b.do(chromedp.Click(`//a[text()="Decide on 4 alike"]`))
	b.sees("note is \"lamp\" in all of them")
	b.sees("customer is \"81\" in all of them")
	b.until("document.querySelectorAll('tbody tr').length === 4")
	if got := ask[int](b, "document.querySelectorAll('tbody input:checked').length"); got != 0 {
		t.Errorf("%d are chosen before anybody chose", got)
	}
	b.look("alike")
	b.rest()
	b.do(chromedp.Click(`tr[data-call="` + ids[3] + `"] input`))
	b.press("d")
	b.until("document.activeElement.id === 'alike-note'")
	b.do(chromedp.SendKeys(`#alike-note`, "Not that one."))
	b.rest()
	b.do(chromedp.Click(`form.question button[type=submit]`))
	b.sees("1 denied.")
	b.do(chromedp.Click(`thead input`))
	b.rest()
	b.press("a")
	b.sees("Approve these 3 calls")
	if got := ask[string](b, "document.activeElement.tagName"); got == "BUTTON" {
		t.Error("a button has the focus: Enter would approve")
	}
	b.look("alike-sure")
	late := s.hold(599, "lamp") // what comes now is not chosen
	b.until("document.querySelectorAll('tbody tr').length === 5")
	b.rest()
	b.press("y")
	b.sees("3 approved.")
	b.sees("Denied by bob")
	shown := map[string]bool{}
	for i, id := range ids {
		s.decided(id)
		types := s.rig.Types(t, id)
		if approved := slices.Contains(types, audit.CallApproval); approved != (i < 3) {
			t.Errorf("events of %d are %v", i, types)
		}
		for _, e := range s.rig.Events(t, id) {
			var vote audit.Approval
			if e.Type == audit.CallApproval {
				must(t, json.Unmarshal(e.Data, &vote))
				shown[vote.Digest+vote.Shown.Digest] = true
			}
		}
	}
	if len(shown) != 3 {
		t.Errorf("the votes are on %d digests and sentences, want 3", len(shown))
	}
	if got := s.rig.Types(t, late); len(got) != 1 {
		t.Errorf("the late one has events %v", got)
	}
}

func TestTheHistoryIsSearchedAndReplayed(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	for i := range 3 {
		must(t, s.call(fmt.Sprintf("step %d", i)))
	}
	if err := s.call("secret"); err == nil {
		t.Fatal("a secret was let through")
	}
	b.do(chromedp.Click("#to-history"))
	b.sees("4 calls, the newest first.")
	b.do(chromedp.SendKeys("#by-agent", "copilot\r"))
	b.until("location.hash === '#/history?agent=copilot'")
	b.sees("Step by step")
	b.sees("1 of 4")
	b.do(chromedp.Focus("#step"))
	for range 3 {
		b.do(chromedp.KeyEvent("\u0304")) // arrow right
	}
	b.sees("4 of 4")
	b.sees("policy no-secrets: Secrets stay here")
	b.look("history")
	b.do(chromedp.Navigate(s.url + "/#/history?outcome=denied"))
	b.sees("1 call, the newest first.")
	b.do(chromedp.Navigate(s.url + "/#/history?tool=nothing.here"))
	b.sees("No call that you may see fits.")
}

func TestTheOverviewTellsWhatHappens(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	must(t, s.call("fine"))
	if err := s.call("secret"); err == nil {
		t.Fatal("a secret was let through")
	}
	s.hold(700, "overview")
	b.do(chromedp.Click("#to-overview"))
	tile := func(title, figure string) {
		b.until(fmt.Sprintf(`[...document.querySelectorAll('.tile')].some((t) => t.querySelector('h2').textContent === %q && t.querySelector('.figure').textContent === %q)`, title, figure))
	}
	tile("Calls", "3")
	tile("Denied", "1")
	tile("Held", "1")
	tile("Waiting now", "1")
	b.sees("payments/calls")
	b.until(`document.querySelector('svg.chart rect') !== null`)
	b.look("overview")
	must(t, s.call("more")) // the figures are live
	tile("Calls", "4")
	b.do(chromedp.Click(`//a[text()="last hour"]`))
	b.until("location.hash === '#/overview?window=1h'")
	tile("Calls", "4")
}

// A tool that became another one is in quarantine; a person sees what has changed, and
// lets it be called.
func TestAPersonReviewsAToolThatChanged(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	must(t, s.call("hello"))
	b.do(chromedp.Click("#to-tools"))
	b.sees("payments.refund")
	b.do(chromedp.Click(`[data-tool="payments.echo"] details summary`))
	b.sees("Of its last 1, which are all, calls 0 failed: 0 %.")
	b.do(chromedp.Click(`[data-tool="payments.refund"] details:last-of-type summary`))
	b.sees(`"customer"`)
	b.do(chromedp.Click(`[data-tool="payments.refund"] details:nth-of-type(2) summary`))
	b.sees("held for lead")
	b.sees("copilot-works")
	b.look("tools")
	b.do(chromedp.Click(`[data-tool="payments.refund"] a[href="#/policy?id=big-refunds"]`))
	b.until(`document.querySelector('tr.current')?.dataset.policy === 'big-refunds'`)
	b.do(chromedp.Click("#to-tools"))
	b.sees("payments.refund")
	changed := json.RawMessage(strings.Replace(string(refunds), "Gives money back.", "Gives money back, and mails it.", 1))
	s.payments.Handle(changed, func(context.Context, tools.Call) (tools.Answer, error) { return toolstest.Text("mailed"), nil })
	b.do(chromedp.Navigate(s.url + "/#/"))
	s.known("payments.refund", false)
	must(t, s.rig.Pin(t.Context(), s.rig.Registry.Tools())) // as the server does at each change
	b.do(chromedp.Click("#to-tools"))
	b.sees("in quarantine")
	const card = `[data-tool="payments.refund"] `
	b.do(chromedp.Click(card + `.actions button`))
	b.sees("What has changed since somebody reviewed it")
	b.sees("Gives money back, and mails it.")
	b.look("quarantine")
	b.rest()
	b.do(chromedp.Click(card + `.question .primary`))
	b.until("document.querySelector('.chip.bad') === null || ![...document.querySelectorAll('.chip.bad')].some((c) => c.textContent === 'in quarantine')")
	s.known("payments.refund", true)
}

// known waits until a tool can be called, or cannot.
func (s *stack) known(name string, want bool) {
	s.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-again.C {
		if _, err := s.rig.Registry.Lookup(name); (err == nil) == want {
			return
		}
	}
	s.t.Fatalf("%s can be called: %t", name, !want)
}

// The policies are there to be read, tried, and to be tried anew on the last calls.
func TestPoliciesAreReadAndTried(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	must(t, s.call("hello"))
	s.hold(120, "of late")
	b.do(chromedp.Click("#to-policy"))
	for _, fact := range []string{"What they say", "big-refunds", "Refunds over 100 need a lead.", "15 min"} {
		b.sees(fact)
	}
	try := func(args string) {
		t.Helper()
		ask[bool](b, fmt.Sprintf(`(() => {
			for (const [id, value] of Object.entries({ tool: 'payments.refund', person: 'alice', roles: 'support', agent: 'copilot', args: %q })) document.querySelector('#try-' + id).value = value;
			return true;
		})()`, args))
		b.do(chromedp.Click(`//button[text()="What would happen?"]`))
	}
	try(`{"amount":50}`)
	b.until(`document.querySelector('form [role=status] .chip')?.textContent === 'allow'`)
	try(`{"amount":5000}`)
	b.until(`document.querySelector('form [role=status] .chip')?.textContent === 'hold'`)
	b.sees("Waits for 1 of lead")
	try(`{"amount":`)
	b.sees("The arguments are not JSON.")
	b.do(chromedp.Click(`//summary[text()="Write a draft"]`))
	ask[bool](b, `(() => { const t = document.querySelector('#draft-0'); t.value = t.value.replace('amount > 100', 'amount > 1000'); return true; })()`)
	b.do(chromedp.Click(`//button[text()="What would it have changed?"]`))
	b.sees("Of 2 calls 1 would have fared the same")
	b.sees("1 held, now allowed")
	b.look("policy")
	ask[bool](b, `(() => { const t = document.querySelector('#draft-0'); t.value += 'permit (oops'; return true; })()`)
	b.do(chromedp.Click(`//button[text()="What would it have changed?"]`))
	b.sees("This is no set of policies.")
}
