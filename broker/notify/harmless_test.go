package notify_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/sentence"
)

// sentences tells of calls with one argument each, and gives what was said of them.
func sentences(t *testing.T, field string, arguments ...string) []string {
	t.Helper()
	var said []string
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads, PerMinute: 1000}})
		defer stop()
		for i, text := range arguments {
			id := string(rune('a' + i))
			s.words[id] = sentence.Sentence{Template: "v1", Parts: []sentence.Part{{Text: "Say "}, {Text: text, Field: field}}}
			s.hold(id, time.Hour)
			after(time.Second)
		}
		for _, m := range leads.messages() {
			said = append(said, m.Sentence)
		}
	})
	return said
}

func TestWhatDoesNotShowIsShown(t *testing.T) {
	t.Parallel()
	hostile := map[string]string{
		"a\u202egnp.exe":                  "a⟨U+202E⟩gnp[.]exe",
		"zero\u200bwidth\u00adhyphen":     "zero⟨U+200B⟩width⟨U+00AD⟩hyphen",
		"\x1b[31mred\x1b[0m\x07":          "⟨U+001B⟩[31mred⟨U+001B⟩[0m⟨U+0007⟩",
		"two\r\nlines\u2028three":         "two⟨U+000D⟩⟨U+000A⟩lines⟨U+2028⟩three",
		"p\u0430ypal \u0440\u0430":        "p⟨U+0430⟩ypal \u0440\u0430",
		"tag\U000e0041\ufe0f\u3164\u2800": "tag⟨U+E0041⟩⟨U+FE0F⟩⟨U+3164⟩⟨U+2800⟩",
		"z\u0301\u0301\u0301\u0301":       "z\u0301\u0301⟨U+0301⟩⟨U+0301⟩",
		"https://evil.example/a.b?c=1":    "https[:]//evil[.]example/a[.]b?c=1",
		"bad\xffbytes":                    "bad⟨U+FFFD⟩bytes",
		"4310.00 USD, 10.0.0.1":           "4310.00 USD, 10.0.0.1",
		"Grüße, 東京 and مرحبا":             "Grüße, 東京 and مرحبا",
	}
	var given, want []string
	for text, shown := range hostile {
		given, want = append(given, text), append(want, "Say "+shown)
	}
	for i, got := range sentences(t, "/text", given...) {
		if got != want[i] {
			t.Errorf("%q is told as %q, want %q", given[i], got, want[i])
		}
	}
}

func TestSecretsAreWithheld(t *testing.T) {
	t.Parallel()
	for field, texts := range map[string][]string{
		"/password": {"a"}, "/api_key": {"short"}, "/nested/client_secret": {"x"},
		"/note": {
			"use ghp_16C7e42F292c6912E7710c838347Ae178B4a", "AKIAIOSFODNN7EXAMPLE0", "Bearer abcdef0123456789",
			"-----BEGIN PRIVATE KEY-----", "https://user:pw@host/", "eyJhbGciOiJIUzI1NiJ9.e30.x", "the key is 9f86d081Kx4c7d659aQfeaa0cZ55ad",
		},
	} {
		for i, got := range sentences(t, field, texts...) {
			if got != "Say [withheld]" {
				t.Errorf("%s %q is told as %q", field, texts[i], got)
			}
		}
	}
	plain := []string{
		"Refund for order 4711, broken kettle", "/srv/files/notes/2026-11-27-minutes.txt", "alice@acme.example", "0191c3f0-7a5e-7cc3-98c4-dc0c0c07398f",
		"Donaudampfschifffahrtsgesellschaft", "customer-1234567890",
	}
	for i, got := range sentences(t, "/note", plain...) {
		if strings.Contains(got, "[withheld]") {
			t.Errorf("%q is withheld", plain[i])
		}
	}
}

func TestWithoutTheOperatorsWordsNothingOfTheArgumentsIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		s.words["c1"] = sentence.Template{}.Of("payments.refund", map[string]any{"note": "for Erin's operation"})
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}})
		defer stop()
		s.hold("c1", time.Hour)
		after(time.Second)
		if got := leads.messages()[0].Sentence; got != "A call of payments.refund." {
			t.Errorf("it says %q", got)
		}
	})
}

func FuzzASentenceIsOneHarmlessLine(f *testing.F) {
	f.Add("a\u202eb\x1b[2J")
	f.Add("http://\u2060x.y")
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range sentences(t, "/text", text) {
			if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.Contains(got, "://") {
				t.Errorf("%q is told as %q", text, got)
			}
		}
	})
}
