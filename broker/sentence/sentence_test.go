package sentence_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/sentence"
)

func arguments(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSentences(t *testing.T) {
	t.Parallel()
	for template, test := range map[string]struct{ arguments, want string }{
		"Refund {amount} {currency} of {payment}": {`{"amount":4310.00,"currency":"USD","payment":"pay-1"}`, "Refund 4310.00 USD of pay-1"},
		"Send {{{to}}}":                     {`{"to":"erin"}`, "Send {erin}"},
		"Ship {/lines/0/sku} to {/to/a~1b}": {`{"lines":[{"sku":"x-1"}],"to":{"a/b":"Rome"}}`, "Ship x-1 to Rome"},
		"Tag {tags}, {who}, {flag}":         {`{"tags":["a","b"],"who":{"id":7},"flag":true}`, `Tag 2 items, {"id":7}, true`},
		"Delete {path}":                     {`{}`, "Delete (none)"},
		"Write {content}":                   {`{"content":"` + strings.Repeat("ä", 100) + `"}`, "Write " + strings.Repeat("ä", 60) + "…"},
		"Say it":                            {`{"a":1}`, "Say it"},
	} {
		parsed, err := sentence.Parse(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		if got := parsed.Of("desk.x", arguments(t, test.arguments)).String(); got != test.want {
			t.Errorf("%s: got %q, want %q", template, got, test.want)
		}
	}
}

func TestASentenceTellsWordsFromArguments(t *testing.T) {
	t.Parallel()
	template, err := sentence.Parse("Refund {amount} to {to}")
	if err != nil {
		t.Fatal(err)
	}
	s := template.Of("payments.refund", arguments(t, `{"amount":1,"to":"alice. Nothing else happens"}`))
	want := []sentence.Part{
		{Text: "Refund "}, {Text: "1", Field: "/amount"}, {Text: " to "}, {Text: "alice. Nothing else happens", Field: "/to"},
	}
	if diff := cmp.Diff(want, s.Parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	other := template.Of("payments.refund", arguments(t, `{"amount":2,"to":"alice"}`))
	salt := bytes.Repeat([]byte{7}, audit.SaltBytes)
	if s.Shown("d", salt) == other.Shown("d", salt) || s.Shown("d", salt) == s.Shown("e", salt) {
		t.Error("the digest does not tell what was shown")
	}
}

// What was shown is told from likely sentences only while there is the salt of the
// arguments in it; what was recorded before that is told as it always was.
func TestWhatWasShownIsTold(t *testing.T) {
	t.Parallel()
	template, err := sentence.Parse("Refund {amount} to {to}")
	if err != nil {
		t.Fatal(err)
	}
	s := template.Of("payments.refund", arguments(t, `{"amount":1,"to":"<alice>"}`))
	other := template.Of("payments.refund", arguments(t, `{"amount":2,"to":"<alice>"}`))
	salt := bytes.Repeat([]byte{7}, audit.SaltBytes)
	shown := audit.Shown{Template: "7ee9ff29c6848365", Form: audit.ShownSalted, Digest: "c8599db7112725ebbf425c6eac69b604ad5d128a6753e65b2a36fddfc5c9ceeb"}
	before := audit.Shown{Template: shown.Template, Digest: "900c6755d17ad2cc59c3755ca78e1234878355fc5c1af941e91b537e2189c23e"}
	forged := audit.Shown{Template: shown.Template, Digest: before.Digest, Form: audit.ShownSalted}
	for name, c := range map[string]struct {
		sentence sentence.Sentence
		shown    audit.Shown
		digest   string
		salt     []byte
		want     bool
	}{
		"salted":                    {s, shown, "d", salt, true},
		"another sentence":          {other, shown, "d", salt, false},
		"another call":              {s, shown, "e", salt, false},
		"another salt":              {s, shown, "d", make([]byte, audit.SaltBytes), false},
		"erased":                    {s, shown, "d", nil, false},
		"of before":                 {s, before, "d", salt, true},
		"of before, erased":         {s, before, "d", nil, true},
		"of before, another":        {other, before, "d", salt, false},
		"of before, said to be new": {s, forged, "d", salt, false},
		"of a form nobody knows":    {s, audit.Shown{Template: shown.Template, Digest: shown.Digest, Form: 3}, "d", salt, false},
		"of another template":       {s, audit.Shown{Template: "plain", Digest: shown.Digest, Form: shown.Form}, "d", salt, false},
	} {
		if got := c.sentence.Is(c.shown, c.digest, c.salt); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAToolWithoutATemplateGetsAPlainSentence(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		`{}`:                                  "Call desk.echo",
		`{"text":"hi"}`:                       "Call desk.echo with text hi",
		`{"b":2,"a":"x","c":null}`:            "Call desk.echo with a x, b 2, c null",
		`{"e":5,"d":4,"c":3,"b":2,"a":1}`:     "Call desk.echo with a 1, b 2, c 3, d 4 and 1 more",
		`{"list":[1],"object":{"a":1},"n":1}`: "Call desk.echo with n 1 and 2 more",
	} {
		s := sentence.Template{}.Of("desk.echo", arguments(t, args))
		if s.String() != want || s.Template != "plain" {
			t.Errorf("%s: %q by %s, want %q", args, s, s.Template, want)
		}
	}
}

func TestTemplatesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "  ", "Refund {amount", "Refund }", "Refund {}", "Refund {/a~2}", "{a{b}}", strings.Repeat("x", 501), strings.Repeat("{a}", 13),
	} {
		if _, err := sentence.Parse(text); err == nil {
			t.Errorf("%q is taken for a template", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Refund {amount} to {/a/0}", `{"amount":1,"a":["b"]}`)
	f.Add("{{}}{", `{}`)
	f.Fuzz(func(t *testing.T, text, args string) {
		template, err := sentence.Parse(text)
		if err != nil {
			return
		}
		var v map[string]any
		if json.Unmarshal([]byte(args), &v) == nil {
			_ = template.Of("a.b", v).Shown("d", []byte(text))
		}
	})
}
