package console_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
)

// meddler changes answers of the API, as somebody could who controls the broker or its store.
type meddler struct {
	with atomic.Pointer[func(path string, body []byte) []byte]
}

func (m *meddler) change(with func(path string, body []byte) []byte) { m.with.Store(&with) }

func (m *meddler) between(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		with := m.with.Load()
		if with == nil {
			api.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		_, _ = w.Write((*with)(r.URL.Path, answer.Body.Bytes())) // the browser may have gone
	})
}

// A reviewer's browser checks by itself that what it shows of a call is what the log was
// signed with, by a key that it knows from before.
func TestTheBrowserProvesWhatItShows(t *testing.T) {
	t.Parallel()
	s, b, m := start(t), openBrowser(t), &meddler{}
	s.stop()
	s.between = m.between
	s.serve(listen(t, s.address()))
	b.login(s, "bob")
	id := s.hold(700, "to be proved")
	h, err := s.rig.Held(t.Context(), bob(t, s), id)
	must(t, err)
	_, err = s.rig.Vote(t.Context(), broker.Vote{Identity: bob(t, s), CallID: id, Verdict: audit.Approve, Digest: h.Digest()})
	must(t, err)
	s.decided(id)
	page := s.url + "/#/calls/" + id
	b.do(chromedp.Navigate(page))
	b.sees("not sealed yet")
	must(t, s.sealer.Seal(t.Context()))
	b.until("document.querySelector('.proof')?.dataset.proof === 'proved'") // it looks again by itself
	b.sees("All 4 events are in the log as shown here")
	if got := ask[int](b, "document.querySelectorAll('.timeline .proof-mark.good').length"); got != 4 {
		t.Errorf("%d events are marked as proved, want 4", got)
	}
	b.do(chromedp.Click(".proof summary"))
	b.sees(s.sealer.Verifier().String())
	b.look("proof")

	anew := func(state string) {
		t.Helper()
		b.do(chromedp.Navigate(s.url + "/#/"))
		b.sees("Waiting for people")
		b.do(chromedp.Navigate(page))
		b.until("document.querySelector('.proof')?.dataset.proof === '" + state + "'")
	}
	m.change(func(path string, body []byte) []byte { // one event says something else than was signed
		if !strings.HasSuffix(path, id) {
			return body
		}
		return bytes.Replace(body, []byte(`"tool":"payments.refund"`), []byte(`"tool":"payments.refunds"`), 2)
	})
	anew("bad")
	b.sees("1 of 4 events is not what the log was signed with.")
	b.sees("not proved: It is not what was signed")
	b.look("proof-bad")

	other := keyOf(t, "usurper").Verifier().String()
	m.change(func(path string, body []byte) []byte { // all of it is signed anew by somebody else
		if !strings.HasSuffix(path, "/v1/keys") {
			return body
		}
		return bytes.Replace(body, []byte(s.sealer.Verifier().String()), []byte(other), 1)
	})
	anew("other-key")
	b.sees("Nothing is proved.")
	b.sees("The broker signs its log with another key than the one that is trusted here.")
	b.look("proof-other-key")

	b.do(chromedp.SendKeys("#given-key", "deed/acme+nothing"), chromedp.Click(".given button"))
	b.sees("This is not a verifier key.")
	m.change(func(_ string, body []byte) []byte { return body })
	b.do(chromedp.SetValue("#given-key", s.sealer.Verifier().String()), chromedp.Click(".given button"))
	b.sees("It is the key that was trusted already.")
	b.until("document.querySelector('.proof')?.dataset.proof === 'proved'")
}

// A key that was given its place by the one that is trusted is trusted after it.
func TestTheBrowserFollowsARotation(t *testing.T) {
	t.Parallel()
	s, b, m := start(t), openBrowser(t), &meddler{}
	s.stop()
	s.between = m.between
	s.serve(listen(t, s.address()))
	b.login(s, "bob")
	must(t, s.call("before and after"))
	must(t, s.sealer.Seal(t.Context()))
	b.do(chromedp.Navigate(s.url + "/#/live"))
	first := keyOf(t, "first")
	rotation, err := first.HandOver(s.sealer.Verifier())
	must(t, err)
	b.do(chromedp.Click("#to-history"))
	b.sees("1 call")
	ask[bool](b, `localStorage.setItem('deed.log-key', JSON.stringify({ key: '`+first.Verifier().String()+`', since: '2026-01-01T00:00:00Z', how: 'given' })), true`)
	m.change(func(path string, body []byte) []byte {
		if !strings.HasSuffix(path, "/v1/keys") {
			return body
		}
		said, err := json.Marshal(map[string]any{"key": s.sealer.Verifier().String(), "rotations": []audit.Rotation{rotation}})
		if err != nil {
			return body
		}
		return said
	})
	b.do(chromedp.Click(`.feed a.tool`))
	b.until("document.querySelector('.proof')?.dataset.proof === 'proved'")
	b.do(chromedp.Click(".proof summary"))
	b.sees("The key that was trusted before it signed that it takes its place.")
}
