package console_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

// harm is what the page must never have: elements and attributes that it does not make,
// links and sources that leave it.
const harm = `(() => {
	const own = /^(a|article|aside|bdi|body|button|circle|code|dd|details|dialog|div|dl|dt|em|figcaption|figure|footer|form|g|h1|h2|h3|header|img|input|kbd|label|li|line|main|nav|noscript|ol|option|output|p|path|pre|rect|section|select|small|span|strong|summary|svg|table|tbody|td|text|textarea|tfoot|th|thead|time|title|tr|ul)$/;
	const odd = [];
	for (const e of document.querySelectorAll('body *')) {
		if (!own.test(e.localName)) odd.push(e.outerHTML);
		for (const a of e.attributes) {
			const leaves = a.name === 'href' ? !/^(#\/|#main$|\/login(\?|$))/.test(a.value) : a.name === 'src' ? !/^\/assets\//.test(a.value) : a.name === 'action' && a.value !== '/logout';
			if (leaves || /^(on.*|style|srcdoc|formaction|target|ping|srcset|xlink:href|contenteditable|autofocus|popover)$/.test(a.name)) odd.push(a.name + '=' + a.value);
		}
	}
	if (window.harmed) odd.push('something ran');
	if (document.querySelectorAll('script:not([src^="/assets/"]), base, link:not([href^="/assets/"]), meta[http-equiv]').length > 0) odd.push('the head was changed');
	for (const r of performance.getEntriesByType('resource')) if (!r.name.startsWith(location.origin + '/')) odd.push('asked for ' + r.name);
	return odd.map((o) => o.slice(0, 200));
})()`

// harmless checks the page as it is now.
func (b *browser) harmless(where string) {
	b.t.Helper()
	for _, odd := range ask[[]string](b, harm) {
		b.t.Errorf("%s: %s", where, odd)
	}
}

// shows waits until the page has each of the texts somewhere.
func (b *browser) shows(texts []string) {
	b.t.Helper()
	list, err := json.Marshal(texts)
	must(b.t, err)
	b.until(fmt.Sprintf("%s && %s.every((t) => document.querySelector('main').textContent.includes(t))", opened, list))
}

// opened opens what a page keeps for those who want to see it, and says whether there is no more.
const opened = `(() => {
	const more = [...document.querySelectorAll('main button')].find((b) => !b.hidden && /^Show \d+ more/.test(b.textContent));
	more?.click();
	for (const d of document.querySelectorAll('main details:not([open])')) d.open = true;
	return !more;
})()`

// Each text that an agent, a tool, a person or a provider could have written is, on each
// page, a text that would run if the page took it for markup.
func TestWhatStrangersWriteIsText(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	texts := hostile(t)
	p := &poison{texts: texts}
	s.stop()
	s.between = p.between
	s.serve(listen(t, s.address()))
	_, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: "window.hurt = () => { window.harmed = true }",
	})
	must(t, err)
	b.login(s, "bob")

	one := s.hold(201, "an honest note")
	for i, text := range texts { // these come by the stream, which nothing stands before
		who := brokertest.Through(brokertest.Person("alice", "support"), "copilot", text)
		who.Session = text
		_, err := s.rig.Call(t.Context(), broker.Request{Identity: who, Tool: "payments." + text, Arguments: []byte(`{}`), Client: text, IdempotencyKey: text})
		if i == 0 && broker.AsError(err).Kind != broker.Denied && broker.AsError(err).Kind != broker.NotFound {
			t.Fatalf("a tool that is none: %v", err)
		}
	}
	list := v1[struct{ Items []struct{ Alike string } }](b, "/v1/calls?state=held")
	alike := list.Items[0].Alike
	granted := s.hold(202, "granted")
	h, err := s.rig.Held(t.Context(), bob(t, s), granted)
	must(t, err)
	_, err = s.rig.Grant(t.Context(), broker.GrantRequest{
		Identity: bob(t, s), CallID: granted, Digest: h.Digest(), Uses: 5, Until: time.Now().Add(time.Hour), Reason: "a busy day",
		Where: []audit.Condition{{Field: "/amount", AtMost: "300"}, {Field: "/note", Equals: []byte(`"granted"`)}},
	})
	must(t, err)
	_, err = s.rig.Revoke(t.Context(), bob(t, s), denylist.Entry{Kind: denylist.Agent, Value: "other", Reason: "it ran wild"})
	must(t, err)
	all := s.hold(203, strings.Join(texts, " ")) // and why it is asked for
	b.do(chromedp.Navigate(s.url + "/#/calls/" + all))
	b.live()
	b.do(chromedp.WaitVisible(".arguments button"))
	b.do(chromedp.Click(".arguments button")) // they are folded
	b.shows(asWritten(texts))
	b.harmless("a call with all of them")

	p.on.Store(true)
	for _, each := range []struct {
		path  string
		texts []string
	}{
		{"/", plainly(texts)},
		{"/live", []string{}},
		{"/grants", plainly(texts)},
		{"/agents", plainly(texts)},
		{"/tools", plainly(texts)},
		{"/calls/" + one, []string{}},
		{"/history?agent=copilot", plainly(texts)},
		{"/overview", []string{}},
		{"/policy", []string{}},
		{"/alike/" + alike, []string{texts[0], texts[2]}},
	} {
		b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#"+each.path))
		b.live()
		b.shows(each.texts)
		b.harmless(each.path)
	}
	b.do(chromedp.Navigate(s.url + "/#/"))
	b.until(fmt.Sprintf("%s && document.querySelectorAll('.card').length === %d", opened, len(texts)))
	b.harmless("the inbox again")
	b.everyQuestion()
	b.harmless("every question of many cards")
}

// asWritten are the texts that JSON has as they are, with nothing in them to be marked.
func asWritten(texts []string) []string {
	return slices.DeleteFunc(plainly(texts), func(s string) bool { return strings.ContainsAny(s, "\"\\") })
}

// everyQuestion opens the questions of many cards, one kind after the other.
func (b *browser) everyQuestion() {
	b.t.Helper()
	b.rest()
	for _, label := range []string{"Approve…", "Deny…", "Change…", "Allow more like it…"} {
		n := ask[int](b, fmt.Sprintf(`(() => {
			const buttons = [...document.querySelectorAll('.card button:not([hidden])')].filter((b) => b.textContent === %q && !b.closest('[hidden]'));
			buttons.filter((_, i) => i %% 10 === 0).forEach((b) => b.click()); // each lays the page out anew
			return document.querySelectorAll('.question:not([hidden])').length;
		})()`, label))
		if n == 0 {
			b.t.Errorf("no card asks %q", label)
		}
		b.harmless(label)
		b.rest()
		ask[bool](b, `[...document.querySelectorAll('.question:not([hidden]) button.quiet')].forEach((b) => b.textContent === 'Back' && b.click()), true`)
		b.rest()
	}
}

// What cannot be seen, or looks like something else, is made visible.
func TestWhatCannotBeSeenIsShown(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.login(s, "bob")
	id := s.hold(9000, "\u202egpj.exe \u001b[31mred\u200b pаypal")
	b.do(chromedp.Navigate(s.url + "/#/calls/" + id))
	for _, made := range []string{"U+202E RLO", `\u001b`, "U+200B ZWSP", "U+0430"} {
		b.sees(made)
	}
	b.look("invisible")
}

// v1 is what the API answers to the person of the page.
func v1[T any](b *browser, path string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](fmt.Sprintf("fetch(%q).then((r) => r.json())", path), chromedp.EvalAwaitPromise))
	must(b.t, err)
	return v
}
