package tools_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/tools"
)

func FuzzParseArguments(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `{"a":1,"b":[true,null,"x"]}`, `{"a":1,"a":2}`, `{"a":1e400}`, `{"a":-0.0}`, `{"a":9007199254740993}`,
		`{"a":9223372036854775808}`, "{\"a\":\"\xff\"}", `{"a":"\ud83d\ude00"}`, `[[[[`, `{"":{"":{}}}`, `{"b":0,"a":{"d":0,"c":0}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := tools.ParseArguments(raw)
		if err != nil {
			if _, ok := errors.AsType[*tools.ArgumentError](err); !ok || !utf8.ValidString(err.Error()) {
				t.Fatalf("error %T %q, want a printable *ArgumentError", err, err)
			}
			return
		}
		again, err := tools.ParseArguments(a.Canonical)
		if err != nil || !bytes.Equal(a.Canonical, again.Canonical) {
			t.Fatalf("%q: canonical %q became %q (%v)", raw, a.Canonical, again.Canonical, err)
		}
		if diff := cmp.Diff(decode(t, a.Canonical), any(a.Value)); diff != "" {
			t.Fatalf("value differs from the canonical bytes:\n%s", diff)
		}
		if len(bytes.TrimSpace(raw)) > 0 {
			want := decode(t, raw)
			if want == nil {
				want = map[string]any{}
			}
			if diff := cmp.Diff(want, any(a.Value)); diff != "" {
				t.Fatalf("value differs from what was sent:\n%s", diff)
			}
		}
	})
}

func FuzzParseDefinition(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","inputSchema":{"type":"object"}}`, `{"name":"a","NAME":"b"}`, `{"name":"a","name":"b"}`, `{"name":1}`, `null`,
		`{"name":"x","annotations":{"readOnlyHint":true}}`, `{"name":"a","Raw":"x","Digest":"y"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := tools.ParseDefinition(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Raw, raw) || len(d.Digest) != 64 || d.Name == "" {
			t.Fatalf("%q: raw %q, digest %q, name %q", raw, d.Raw, d.Digest, d.Name)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			t.Fatalf("%q was taken but is not an object: %v", raw, err)
		}
		var name string
		if err := json.Unmarshal(members["name"], &name); err != nil || name != d.Name {
			t.Fatalf("%q: name %q, want the member called exactly name", raw, d.Name)
		}
	})
}
