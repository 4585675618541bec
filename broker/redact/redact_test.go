package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/broker/secrets"
)

// token looks like one of GitHub's. It is put together here, so that nobody takes it for one.
var token = "ghp" + "_" + "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R"

func rules(t *testing.T, mode redact.Secrets, patterns ...string) *redact.Rules {
	t.Helper()
	parsed, err := redact.Parse(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return &redact.Rules{Fields: parsed, Secrets: mode, Finder: secrets.New()}
}

func TestWhatIsRecordedHasMarksInPlaceOfWhatIsRedacted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rules      *redact.Rules
		answer     bool
		text, want string
		fields     []audit.Matched
		secrets    []audit.Matched
	}{
		"nothing to redact": {rules: rules(t, redact.RedactSecrets, "/card/number"), text: `{ "amount":1.50, "card":{"holder":"A"} }`, want: `{ "amount":1.50, "card":{"holder":"A"} }`},
		"a field": {
			rules: rules(t, redact.KeepSecrets, "/card/number"), text: `{"card":{"number":"4111","exp":1},"number":2}`,
			want: `{"card":{"number":"[redacted: /card/number]","exp":1},"number":2}`, fields: []audit.Matched{{Rule: "/card/number", N: 1}},
		},
		"an object, a number and null": {
			rules: rules(t, redact.KeepSecrets, "/a", "/b", "/c"), text: `{"a":{"b":[1]},"b":1e3,"c":null}`,
			want: `{"a":"[redacted: /a]","b":"[redacted: /b]","c":"[redacted: /c]"}`, fields: []audit.Matched{{Rule: "/a", N: 1}, {Rule: "/b", N: 1}, {Rule: "/c", N: 1}},
		},
		"at any depth": {
			rules: rules(t, redact.KeepSecrets, "/**/password"), text: `{"password":"x","users":[{"password":"y"},{"passwords":"z"}]}`,
			want: `{"password":"[redacted: /**/password]","users":[{"password":"[redacted: /**/password]"},{"passwords":"z"}]}`, fields: []audit.Matched{{Rule: "/**/password", N: 2}},
		},
		"of each element": {
			rules: rules(t, redact.KeepSecrets, "/users/*/iban"), text: `{"users":[{"iban":1},{"iban":2}]}`,
			want: `{"users":[{"iban":"[redacted: /users/*/iban]"},{"iban":"[redacted: /users/*/iban]"}]}`, fields: []audit.Matched{{Rule: "/users/*/iban", N: 2}},
		},
		"a name with a slash": {
			rules: rules(t, redact.KeepSecrets, "/a~1b"), text: `{"a/b":1}`, want: `{"a/b":"[redacted: /a~1b]"}`, fields: []audit.Matched{{Rule: "/a~1b", N: 1}},
		},
		"a name that is escaped": {
			rules: rules(t, redact.KeepSecrets, "/pin"), text: `{"p\u0069n":1}`, want: `{"p\u0069n":"[redacted: /pin]"}`, fields: []audit.Matched{{Rule: "/pin", N: 1}},
		},
		"an answer, and the same as text": {
			rules: rules(t, redact.KeepSecrets, "/card/number"), answer: true,
			text:   `{"content":[{"type":"text","text":"{\"card\":{\"number\":\"4111\"}}"},{"type":"text","text":"plain"}],"structuredContent":{"card":{"number":"4111"}}}`,
			want:   `{"content":[{"type":"text","text":"{\"card\":{\"number\":\"[redacted: /card/number]\"}}"},{"type":"text","text":"plain"}],"structuredContent":{"card":{"number":"[redacted: /card/number]"}}}`,
			fields: []audit.Matched{{Rule: "/card/number", N: 2}},
		},
		"a secret": {
			rules: rules(t, redact.RedactSecrets), text: `{"note":"use ` + token + ` for it","n":1}`, want: `{"note":"use [secret: github-pat] for it","n":1}`,
			fields: []audit.Matched{{Rule: "secret github-pat", N: 1}}, secrets: []audit.Matched{{Rule: "github-pat", N: 1}},
		},
		"two in one text, one as a name": {
			rules: rules(t, redact.RedactSecrets), text: `{"` + token + `":"\"` + token + `\\ ` + token + `"}`, want: `{"[secret: github-pat]":"\"[secret: github-pat]\\ [secret: github-pat]"}`,
			fields: []audit.Matched{{Rule: "secret github-pat", N: 3}}, secrets: []audit.Matched{{Rule: "github-pat", N: 3}},
		},
		"a secret that is flagged": {
			rules: rules(t, redact.FlagSecrets), text: `{"note":"` + token + `"}`, want: `{"note":"` + token + `"}`, secrets: []audit.Matched{{Rule: "github-pat", N: 1}},
		},
		"a secret in a field": {
			rules: rules(t, redact.RedactSecrets, "/note"), text: `{"note":"` + token + `"}`, want: `{"note":"[redacted: /note]"}`, fields: []audit.Matched{{Rule: "/note", N: 1}},
		},
		"no rules": {text: `{"note":"` + token + `"}`, want: `{"note":"` + token + `"}`},
		"no JSON":  {rules: rules(t, redact.KeepSecrets, "/note"), text: `{"note":`, want: `"[redacted: not readable]"`, fields: []audit.Matched{{Rule: "not readable", N: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			record := tt.rules.Arguments
			if tt.answer {
				record = tt.rules.Answer
			}
			got, err := record([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body) != tt.want {
				t.Errorf("recorded\n%s, want\n%s", got.Body, tt.want)
			}
			var fields []audit.Matched
			if got.Redacted != nil {
				fields = got.Redacted.Fields
				if got.Redacted.Exact.Size != int64(len(tt.text)) {
					t.Errorf("it commits to %+v", got.Redacted.Exact)
				}
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("redacted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.secrets, got.Secrets); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatternsAreChecked(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "card", "card/number", "/a/**", "/" + strings.Repeat("a", 300)} {
		if p, err := redact.ParsePattern(text); err == nil {
			t.Errorf("%q is a pattern: %v", text, p)
		}
	}
}

// Whatever stands around it, a secret in a JSON text is not recorded, and what is recorded is JSON.
func TestNoSecretIsRecorded(t *testing.T) {
	t.Parallel()
	r := rules(t, redact.RedactSecrets, "/**/password")
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string {
			return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{token, `"` + token, `\` + token + `\`, "a " + token + "\n"})).Draw(t, label)
		}
		value := map[string]any{text("name"): []any{text("one"), map[string]any{"password": text("password"), "n": rapid.Int().Draw(t, "n")}}}
		body, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, record := range []func([]byte) (redact.Recorded, error){r.Arguments, r.Answer} {
			got, err := record(body)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(got.Body) {
				t.Fatalf("%s was recorded as %s", body, got.Body)
			}
			again, err := r.Arguments(got.Body)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(got.Body), token) && len(again.Secrets) > 0 {
				t.Fatalf("%s was recorded as %s", body, got.Body)
			}
		}
	})
}
