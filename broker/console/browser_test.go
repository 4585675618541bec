package console_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// patience is how long a page may take for what a test waits for.
const patience = time.Minute

// browser is a page in a real Chromium. What its console says against the page is
// remembered, and fails the test.
type browser struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp's handle of the page

	mu         sync.Mutex
	complaints []string // guarded by mu
	provoked   bool     // by the test: what the console says from now on is no failure
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need.Env(t, need.Chromium)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("no-pings", true),
		chromedp.WindowSize(1100, 900),
	)
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancelAllocator)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener('securitypolicyviolation', (e) => console.error('violates', e.violatedDirective, e.blockedURI, e.sample))`,
	})
	must(t, err)
	b.do(chromedp.Navigate("about:blank"))
	var group sync.WaitGroup
	group.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.Source == "network" { // the broker is stopped on purpose, and a login refused
				continue
			}
			if m.IsException() || m.Source == "security" || m.Type == chromedp.ConsoleError || strings.Contains(m.Text, "Content Security Policy") {
				b.mu.Lock()
				b.complaints = append(b.complaints, fmt.Sprintf("%s %s: %s", m.Type, m.Source, m.Text))
				b.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		group.Wait()
		if !b.provoked {
			b.heard()
		}
	})
	return b
}

// heard fails the test for everything that the page's console has complained of.
func (b *browser) heard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the page's console: %s", c)
	}
	b.complaints = nil
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	for {
		err := chromedp.Do(ctx, steps...)
		if err == nil {
			return
		}
		if len(steps) == 1 && ctx.Err() == nil && strings.Contains(err.Error(), "Could not find node with given id") {
			continue // the page has drawn it anew between looking for it and touching it
		}
		b.t.Fatalf("browser: %v\n%s", err, b.text())
	}
}

// until waits for a JavaScript expression to be true, across navigations.
func (b *browser) until(what string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+what+")"))
		if err == nil && got {
			return
		}
		select {
		case <-again.C: // an error is most likely a page that is on its way to the next
		case <-ctx.Done():
			b.t.Fatalf("waited for %s (%v)\nthe page says:\n%s", what, err, b.text())
		}
	}
}

// sees waits until the page says something.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

func (b *browser) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body?.innerText ?? ''"))
	if err != nil {
		return err.Error()
	}
	return text
}

// press presses a letter. What it means as text comes with the key, as from a keyboard,
// so that a page that takes it for a command keeps it from being typed.
func (b *browser) press(key string) {
	b.t.Helper()
	for _, p := range []input.DispatchKeyEventParams{{Type: input.DispatchKeyEventTypeKeyDown, Text: key, Key: key}, {Type: input.DispatchKeyEventTypeKeyUp, Key: key}} {
		_, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, p)
		must(b.t, err)
	}
}

// ask evaluates an expression.
func ask[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	must(b.t, err)
	return v
}

// rest waits for as long as a card or a question is not armed yet.
func (b *browser) rest() {
	b.t.Helper()
	ask[bool](b, "window.restFrom = performance.now(), true")
	b.until("performance.now() - window.restFrom > 450")
}

// login goes through the demo issuer's page like a person.
func (b *browser) login(s *stack, name string) {
	b.t.Helper()
	b.do(chromedp.Navigate(s.url+"/"), chromedp.WaitVisible("#log-in"))
	b.look("login")
	b.do(chromedp.Click("#log-in"), chromedp.WaitVisible(`//a[text()="`+name+`"]`), chromedp.Click(`//a[text()="`+name+`"]`))
	b.until("document.querySelector('#who')?.innerText.startsWith('" + name + "')")
	b.live()
}

func (b *browser) live() {
	b.t.Helper()
	b.until("document.querySelector('#link-text')?.innerText === 'live'")
}

func TestAPersonDecidesWithTheKeyboard(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	b.sees("Nothing waits for you.")

	first := s.hold(4310, "for the broken lamp")
	b.sees("payments.refund")
	for _, fact := range []string{"alice through copilot", "desk-copilot", "big-refunds", "Refunds over 100 need a lead.", `"amount": 4310`, "for the broken lamp", "14 min", "Waits for somebody who is lead"} {
		b.sees(fact)
	}
	h, err := s.rig.Held(t.Context(), bob(t, s), first)
	must(t, err)
	b.sees(h.Intent.Digest)
	b.look("inbox")
	b.rest()
	b.press("j")
	b.until("document.activeElement.tagName === 'ARTICLE'")
	b.press("y") // without a question there is nothing to confirm
	b.press("a")
	b.sees("with exactly the arguments above?")
	b.look("approve")
	if got := ask[string](b, "document.activeElement.tagName"); got == "BUTTON" {
		t.Error("a button has the focus: Enter would approve")
	}
	b.rest()
	b.press("y")
	b.sees("Approved by bob.")
	if got := s.rig.Types(t, first); len(got) < 3 {
		t.Errorf("events are %v, want an approval and a release", got)
	}

	second := s.hold(5000, "for nothing")
	b.sees("for nothing")
	b.rest()
	b.do(chromedp.Focus(`[data-call="` + second + `"]`))
	b.press("d")
	b.until("document.activeElement.tagName === 'TEXTAREA'")
	b.rest()
	b.do(chromedp.Click(`[data-call="` + second + `"] .question:not([hidden]) button[type=submit]`)) // without a reason: nothing
	b.do(chromedp.SendKeys(`[data-call="`+second+`"] .question:not([hidden]) textarea`, "Ask for the receipt first."))
	b.look("deny")
	b.do(chromedp.Click(`[data-call="` + second + `"] .question:not([hidden]) button[type=submit]`))
	b.sees("Denied by bob")
	_, err = s.rig.Await(t.Context(), copilot, second, nil)
	if err == nil || !strings.Contains(fmt.Sprint(err), "Ask for the receipt first.") {
		t.Errorf("the agent was told %v", err)
	}
}

func TestALateDecisionIsToldWhoWasFaster(t *testing.T) {
	t.Parallel()
	s := start(t)
	b, other := openBrowser(t), openBrowser(t)
	b.login(s, "bob")
	other.login(s, "dave")
	id := s.hold(900, "contested")
	for _, each := range []*browser{b, other} {
		each.sees("contested")
		each.rest()
		each.do(chromedp.Focus(`[data-call="` + id + `"]`))
		each.press("a")
		each.sees("with exactly the arguments above?")
		each.rest()
	}
	b.press("y")
	b.sees("Approved by bob")
	other.sees("Approved by bob")
	other.press("y")
	other.until("document.querySelector('.question:not([hidden])') === null")
	for _, e := range s.rig.Events(t, id) {
		if strings.HasSuffix(string(e.Type), ".approval.v1") && strings.Contains(string(e.Data), "dave") {
			t.Error("the late vote was recorded")
		}
	}
}

// Who votes before the page knows that it is too late is told who was faster, and when.
func TestAVoteThatComesTooLateIsToldSo(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	sent, decided := make(chan struct{}), make(chan struct{})
	s.stop()
	s.between = func(api http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/approvals") {
				close(sent)
				<-decided
			}
			api.ServeHTTP(w, r)
		})
	}
	s.serve(listen(t, s.address()))
	b.login(s, "dave")
	id := s.hold(901, "contested too")
	b.sees("contested too")
	b.rest()
	b.press("j")
	b.press("a")
	b.sees("with exactly the arguments above?")
	b.rest()
	b.press("y")
	<-sent
	h, err := s.rig.Held(t.Context(), bob(t, s), id)
	must(t, err)
	_, err = s.rig.Vote(t.Context(), broker.Vote{Identity: bob(t, s), CallID: id, Verdict: audit.Approve, Digest: h.Digest()})
	must(t, err)
	s.decided(id)
	close(decided)
	b.until(`/already closed: approved by bob, and ended as result \d+\S* ago/.test([...document.querySelectorAll('.card [role=alert]')].map((e) => e.innerText).join())`)
}

func TestThePageResumesAfterARestart(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	b.do(chromedp.Navigate(s.url + "/#/live"))
	must(t, s.call("before"))
	b.until("document.querySelectorAll('.feed li').length === 1")

	s.stop()
	b.sees("not live")
	b.until("!document.querySelector('#banner').hidden")
	b.look("stale")
	for range 5 {
		must(t, s.call("meanwhile"))
	}
	if err := s.call("secret"); err == nil {
		t.Fatal("a secret was let through")
	}
	s.serve(listen(t, s.address()))
	b.live()
	b.until("document.querySelectorAll('.feed li').length === 7")
	b.sees("Secrets stay here")
	b.look("live")

	s.stop()
	s.newConsole() // another process: it knows nobody
	s.serve(listen(t, s.address()))
	b.do(chromedp.WaitVisible("#log-in"))
	b.do(chromedp.Click("#log-in"), chromedp.WaitVisible(`//a[text()="bob"]`), chromedp.Click(`//a[text()="bob"]`))
	b.live()
	b.until("location.hash === '#/live'")
}

func TestACallsPageTellsItsStory(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	id := s.hold(777, "story")
	b.do(chromedp.Navigate(s.url + "/#/calls/" + id))
	const asked = `document.querySelector('.question:not([hidden]) .primary')?.checkVisibility()`
	const revealed = `document.body.innerText.includes('That you do goes on record.')`
	b.click(".approve", asked+" || "+revealed)
	b.click(".question:not([hidden]) .primary", revealed)
	b.sees("That you do goes on record.") // what it was made with he has seen when he decided
	b.do(chromedp.Click(`[data-reveal="results"]`))
	b.sees("refunded")
	for _, step := range []string{"Recorded before anything was done", "by bob", "Released to run", "Answered", "payments/calls@"} {
		b.sees(step)
	}
	b.look("call")
	b.do(chromedp.Click(`form[action="/logout"] button`))
	b.do(chromedp.WaitVisible("#log-in"))
}

// What the page is made of is small, and its policy lets it run nothing else.
func TestThePageIsSmallAndStrict(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	const files = `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((e) => !e.name.includes('/v1/'))`
	if n := ask[int](b, files+".length"); n < 20 {
		t.Fatalf("only %d files are known", n)
	}
	whole, wire := ask[int](b, files+".reduce((n, e) => n + e.decodedBodySize, 0)"), ask[int](b, files+".reduce((n, e) => n + e.encodedBodySize, 0)")
	t.Logf("%d bytes, %d over the wire", whole, wire)
	if wire > 100_000 || whole > 200_000 {
		t.Errorf("the first paint takes %d bytes, %d over the wire; want 200,000 and 100,000 at most", whole, wire)
	}
	b.heard()
	b.provoked = true // the browser complains of each attack, in its own time
	v := newVisitor(t)
	for _, path := range []string{"/", "/assets/app.js", "/assets/worker.js", "/login?issuer=nobody", "/nothing"} {
		r, _ := v.get(s.url + path)
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'", "trusted-types deed-worker"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy is %q without %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
	}
	for name, attack := range map[string]string{
		"markup":  `document.body.innerHTML = '<img src=x>'`,
		"script":  `document.createElement('script').src = '/assets/app.js'`,
		"eval":    `setTimeout('window.harmed = true')`,
		"policy":  `trustedTypes.createPolicy('default', { createHTML: (s) => s })`,
		"default": `trustedTypes.createPolicy('other', {})`,
	} {
		if ask[bool](b, fmt.Sprintf("(() => { try { %s; return true } catch { return false } })()", attack)) {
			t.Errorf("%s is let through", name)
		}
	}
}
