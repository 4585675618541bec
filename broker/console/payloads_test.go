package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// payloads are what a call's page tells of each payload, once it has told of n of them.
func (b *browser) payloads(n int) string {
	b.t.Helper()
	b.until(fmt.Sprintf("document.querySelectorAll('.payloads li').length === %d", n))
	return ask[string](b, "[...document.querySelectorAll('.payloads li')].map((li) => li.dataset.state + ': ' + li.innerText).join('\\n')")
}

// tells fails the test unless a text has each of these in it.
func tells(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page does not tell %q, but\n%s", w, text)
		}
	}
}

// A reviewer's browser checks what it shows of a call's arguments, words and answer against
// the salted commitments in its events, and raises an alarm for what is another.
func TestTheBrowserChecksWhatACallWasMadeWith(t *testing.T) {
	t.Parallel()
	spaced := json.RawMessage("{ \"content\": [ {\"type\": \"text\",\n\"text\": \"done \u2028 <b>\"} ], \"amount\": 1.50 }") // as many upstreams write it
	s, m := startWith(t, func(o *brokertest.Options) {
		fake := toolstest.NewFake()
		fake.Handle(refunds, func(context.Context, tools.Call) (tools.Answer, error) { return tools.Answer{Raw: spaced}, nil })
		o.Upstreams = map[string]tools.Upstream{"payments": fake}
	}), &meddler{}
	b := openBrowser(t)
	s.stop()
	s.between = m.between
	s.serve(listen(t, s.address()))
	b.login(s, "bob")
	id := s.hold(700, "é <b> & \u2028 to be checked")
	page := s.url + "/#/calls/" + id
	b.do(chromedp.Navigate(page))
	tells(t, b.payloads(3), "proved: checked The arguments are the ones on record.", "proved: checked The agent's own words are the ones on record.", "proved: checked The digest that approvals bind to is of the arguments on record, this tool and these parties.")

	h, err := s.rig.Held(t.Context(), bob(t, s), id)
	must(t, err)
	_, err = s.rig.Edit(t.Context(), broker.Edit{Identity: bob(t, s), CallID: id, Digest: h.Digest(), Arguments: []byte(`{"amount":650,"customer":"81"}`)})
	must(t, err)
	b.sees(`"amount": 650`)
	tells(t, b.payloads(4), "proved: checked The arguments are", "proved: checked The arguments before they were changed are the ones on record.", "proved: checked The digest")
	h, err = s.rig.Held(t.Context(), bob(t, s), id)
	must(t, err)
	dave := bob(t, s)
	dave.Principal = "dave"
	_, err = s.rig.Vote(t.Context(), broker.Vote{Identity: dave, CallID: id, Verdict: audit.Approve, Digest: h.Digest(), Shown: h.Shown})
	must(t, err)
	s.decided(id)
	b.sees("That you do goes on record.")
	tells(t, b.payloads(5), "gone: not shown The answer is not shown here: the record commits to", "bytes, and that stands.")
	b.do(chromedp.Click(`[data-reveal="results"]`))
	b.until("document.querySelectorAll('.payloads [data-state=proved]').length === 5")
	b.sees(`"amount": 1.50`)
	b.sees("Was shown: Call payments.refund with amount 650, customer 81")
	if alarm := ask[string](b, "document.querySelector('.alarm').innerText"); alarm != "" {
		t.Errorf("an alarm for nothing: %s", alarm)
	}
	b.look("payloads")

	const reveal = `[data-reveal="results"]`
	replace := func(from, to string) func(string, []byte) []byte {
		return func(path string, body []byte) []byte {
			if !strings.HasSuffix(path, id) {
				return body
			}
			return bytes.Replace(body, []byte(from), []byte(to), 1)
		}
	}
	for name, forged := range map[string]struct {
		with  func(string, []byte) []byte
		alarm string
	}{
		"arguments":     {replace(`"arguments":{"amount":650`, `"arguments":{"amount":6500`), "The arguments are NOT what the record commits to: they are another's, or forged."},
		"asked":         {replace(`"asked":{"amount":700`, `"asked":{"amount":70`), "The arguments before they were changed are NOT what the record commits to"},
		"words":         {replace(`The customer asked for it:`, `The boss asked for it:`), "The agent's own words are NOT what the record commits to"},
		"digest":        {replace(`"digest":"`+h.Digest(), `"digest":"`+strings.Repeat("0", 64)), "The digest that approvals bind to is NOT of what is on record."},
		"answer":        {forgeAnswer(id), "The answer is NOT what the record commits to: it is another's, or forged."},
		"without proof": {replace(`"on_record":`, `"on_records":`), "The arguments are NOT what the record commits to"},
	} {
		m.change(forged.with)
		b.do(chromedp.Navigate(s.url + "/#/"))
		b.sees("Waiting for people")
		b.do(chromedp.Navigate(page), chromedp.WaitVisible(reveal))
		b.do(chromedp.Click(reveal))
		b.sees(forged.alarm)
		if role := ask[string](b, "document.querySelector('.alarm').checkVisibility() && document.querySelector('.alarm').getAttribute('role')"); role != "alert" {
			t.Errorf("%s: the alarm is no alert, but %q", name, role)
		}
		if name == "arguments" {
			b.look("payloads-forged")
		}
	}
	m.change(func(_ string, body []byte) []byte { return body })
	must(t, s.rig.Log.EraseRecords(t.Context(), places(t, s, id)...))
	b.do(chromedp.Navigate(s.url + "/#/"))
	b.sees("Waiting for people")
	b.do(chromedp.Navigate(page), chromedp.WaitVisible(reveal))
	b.do(chromedp.Click(reveal))
	b.sees("It has been erased; the record of it stands.")
	tells(t, b.payloads(5), "gone: not shown The arguments are erased: the record commits to 30 bytes, and that stands.", "gone: not shown The answer is erased", "proved: checked The digest")
	b.look("payloads-erased")
}

// forgeAnswer has a call's answer be another, with bytes beside it that say the same.
func forgeAnswer(id string) func(string, []byte) []byte {
	return func(path string, body []byte) []byte {
		var detail map[string]json.RawMessage
		if !strings.HasSuffix(path, id) || json.Unmarshal(body, &detail) != nil || detail["output"] == nil {
			return body
		}
		proofs := map[string]map[string]any{}
		if err := json.Unmarshal(detail["on_record"], &proofs); err != nil {
			return body
		}
		other := []byte(`{"content":[{"type":"text","text":"nothing was done"}]}`)
		proofs["output"]["body"] = other
		said, err := json.Marshal(proofs)
		if err != nil {
			return body
		}
		detail["output"], detail["on_record"] = other, said
		forged, err := json.Marshal(detail)
		if err != nil {
			return body
		}
		return forged
	}
}

// places are where the events of a call are.
func places(t *testing.T, s *stack, id string) []audit.Places {
	t.Helper()
	p := audit.Places{Log: "payments/calls"}
	for rec, err := range s.rig.Log.Read(t.Context(), "") {
		must(t, err)
		if e, err := rec.Event(); err == nil && e.Subject == id {
			p.Indexes = append(p.Indexes, rec.Position.Index)
		}
	}
	return []audit.Places{p}
}
