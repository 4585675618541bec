package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
)

// hostile are texts that have run, or moved things, in pages that took them for more than text.
var hostile = []string{
	`<script>hurt()</script>`, `<img src=x onerror=hurt()>`, `<svg onload=hurt()>`, `<svg><script>hurt()</script></svg>`,
	`"><script>hurt()</script>`, `'><img src=x onerror=hurt()>`, `</pre><script>hurt()</script>`, `</textarea><script>hurt()</script>`,
	`</title><script>hurt()</script>`, `<iframe srcdoc="<script>parent.hurt()</script>">`, `<iframe src=javascript:hurt()>`, `<a href=javascript:hurt()>click</a>`,
	`javascript:hurt()`, `[x](javascript:hurt())`, `<math><mtext><style><img src=x onerror=hurt()>`, `<details open ontoggle=hurt()>`,
	`<input autofocus onfocus=hurt()>`, `<video><source onerror=hurt()>`, `<body onload=hurt()>`, `<base href=//evil.example>`,
	`<meta http-equiv=refresh content="0;url=//evil.example">`, `<form action=//evil.example><button>Approve</button>`, `<link rel=stylesheet href=//evil.example/x.css>`,
	`<style>*{display:none}</style>`, `{{constructor.constructor('hurt()')()}}`, `${hurt()}`, `<!--<img src="--><img src=x onerror=hurt()>`,
	`<template><script>hurt()</script></template>`, `<noscript><p title="</noscript><img src=x onerror=hurt()>">`, `\u003cscript\u003ehurt()\u003c/script\u003e`,
	`__proto__`, `constructor`, `data:text/html,<script>hurt()</script>`, `" onmouseover="hurt()" x="`, `' style='position:fixed;inset:0`,
}

// shown replaces what a held call is called and why it is held, as if tools and
// policies were the attacker's.
type shown struct {
	*broker.Broker
	names map[string]string
}

func (s shown) dress(h broker.HeldCall) broker.HeldCall {
	text := s.names[h.ID]
	h.Intent.Tool, h.Intent.Client = text, text
	h.Intent.Identity.Principal = text
	for i := range h.Intent.Identity.Chain {
		h.Intent.Identity.Chain[i].ID = text
	}
	for i := range h.Intent.Decision.Reasons {
		h.Intent.Decision.Reasons[i].Policy, h.Intent.Decision.Reasons[i].Text, h.Intent.Decision.Reasons[i].Link = text, text, text
	}
	h.MayVote, h.WhyNot = false, text
	return h
}

func (s shown) Pending(ctx context.Context, viewer *agents.Identity) []broker.HeldCall {
	list := s.Broker.Pending(ctx, viewer)
	for i := range list {
		intent := &list[i].Intent // a deep enough copy: what it holds is shared with the broker
		intent.Identity.Chain = slices.Clone(intent.Identity.Chain)
		intent.Decision.Reasons = slices.Clone(intent.Decision.Reasons)
		list[i] = s.dress(list[i])
	}
	return list
}

func TestWhatStrangersWriteIsText(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	names := map[string]string{}
	for i, text := range hostile {
		names[s.hold(200+i, text)] = text
	}
	s.stop()
	s.broker = shown{Broker: s.rig.Broker, names: names}
	s.serve(listen(t, strings.TrimPrefix(s.url, "http://")))
	b.login(s, "bob")
	b.until(fmt.Sprintf("document.querySelectorAll('.card').length === %d", len(hostile)))
	ask[bool](b, "window.hurt = () => { window.harmed = true }, true")

	for id, text := range names {
		card := fmt.Sprintf(`document.querySelector('[data-call="%s"]')`, id)
		for _, place := range []string{"h2", ".parties", ".who small", ".policy", ".reason", ".reasons small"} {
			if got := ask[string](b, card+fmt.Sprintf(".querySelector(%q).textContent", place)); !strings.Contains(got, text) {
				t.Errorf("%s of the card shows %q, want %q", place, got, text)
			}
		}
		quoted, err := json.Marshal(text)
		must(t, err)
		raw := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(quoted))
		if strings.Contains(text, `\u`) { // escapes that are text stay as they are
			raw = string(quoted)
		}
		if got := ask[string](b, card+".querySelector('.json').textContent"); !strings.Contains(got, raw) {
			t.Errorf("arguments show %s, want %s", got, raw)
		}
	}
	const foreign = `document.querySelectorAll('main script, main iframe, main svg, main style, main link, main meta, main base, main video, main template, main img, main details, main [style], main [onerror], main [onload]').length`
	if n := ask[int](b, foreign); n != 0 {
		t.Errorf("%d elements that the page does not make", n)
	}
	if ask[bool](b, "Boolean(window.harmed)") {
		t.Error("something ran")
	}
	if n := ask[int](b, `[...document.querySelectorAll('main a')].filter(a => !a.getAttribute('href').startsWith('#/')).length`); n != 0 {
		t.Errorf("%d links that leave the page", n)
	}
	b.picture("hostile")

	id := s.hold(9000, "\u202egpj.exe \u001b[31mred\u200b pаypal")
	b.do(chromedp.Navigate(s.url + "/#/calls/" + id))
	for _, made := range []string{"U+202E RLO", `\u001b`, "U+200B ZWSP", "U+0430"} {
		b.sees(made)
	}
	b.picture("invisible")
}
