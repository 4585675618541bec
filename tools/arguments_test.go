package tools_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/tools"
)

func TestParseArguments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ raw, want string }{
		"nothing":                   {``, `{}`},
		"null":                      {" null\n", `{}`},
		"white space":               {" { \"b\" : [ 1 , 2 ] ,\n\"a\":null } ", `{"a":null,"b":[1,2]}`},
		"escapes":                   {`{"a":"\u0061\/\u20ac\n"}`, `{"a":"a/€\n"}`},
		"order by UTF-16":           {`{"\ufb33":1,"\ud83d\ude00":2,"a":3}`, "{\"a\":3,\"\U0001F600\":2,\"\ufb33\":1}"},
		"nested order":              {`{"a":[{"z":1,"y":{"q":1,"p":2}}]}`, `{"a":[{"y":{"p":2,"q":1},"z":1}]}`},
		"largest integer":           {`{"a":9223372036854775807}`, `{"a":9223372036854775807}`},
		"smallest integer":          {`{"a":-9223372036854775808}`, `{"a":-9223372036854775808}`},
		"numbers stay as written":   {`{"a":[1.0,1.50,1e3,1E+2,-0,0.1,0e999999999999999999999,5e-324]}`, `{"a":[1.0,1.50,1e3,1E+2,-0,0.1,0e999999999999999999999,5e-324]}`},
		"names that differ in case": {`{"name":1,"NAME":2}`, `{"NAME":2,"name":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tools.ParseArguments([]byte(test.raw))
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Canonical) != test.want {
				t.Errorf("canonical %s, want %s", got.Canonical, test.want)
			}
			if diff := cmp.Diff(decode(t, []byte(test.want)), any(got.Value)); diff != "" {
				t.Errorf("value differs from the canonical bytes (-bytes +value):\n%s", diff)
			}
		})
	}
}

func TestParseArgumentsRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, tools.MaxDepth+1) + "1" + strings.Repeat("}", tools.MaxDepth+1)
	for name, test := range map[string]struct{ raw, pointer, reason string }{
		"an array":                   {`[1]`, "", "must be a JSON object"},
		"a string":                   {`"a"`, "", "must be a JSON object"},
		"two values":                 {`{} {}`, "", "more than one"},
		"half an object":             {`{"a":`, "", "not valid JSON"},
		"a trailing comma":           {`{"a":1,}`, "", "not valid JSON"},
		"a name twice":               {`{"x":{"a":1,"a":2}}`, "/x/a", "named twice"},
		"a name twice, escaped":      {`{"a":1,"\u0061":2}`, "/a", "named twice"},
		"invalid UTF-8":              {"{\"a\":\"\xff\"}", "/a", "not valid JSON"},
		"a lone surrogate":           {`{"a":"\ud800"}`, "/a", "not valid JSON"},
		"an integer beyond 64 bits":  {`{"amount":9223372036854775808}`, "/amount", "cannot be held exactly"},
		"a double's rounding":        {`{"a":[0,{"b/c":9007199254740993.0}]}`, "/a/1/b~1c", "cannot be held exactly"},
		"digits that a double loses": {`{"a":0.1000000000000000055511151231257827}`, "/a", "cannot be held exactly"},
		"an exponent out of range":   {`{"a":1e400}`, "/a", "out of range"},
		"an underflow":               {`{"a":1e-400}`, "/a", "cannot be held exactly"},
		"too deep":                   {deep, "", "nested more than 64 deep"},
		"too large":                  {`{"a":"` + strings.Repeat("a", tools.DefaultMaxArguments) + `"}`, "", "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tools.ParseArguments([]byte(test.raw))
			refused, ok := errors.AsType[*tools.ArgumentError](err)
			if !ok {
				t.Fatalf("error %v, want an *ArgumentError", err)
			}
			if test.pointer != "" && refused.Pointer != test.pointer {
				t.Errorf("pointer %q, want %q", refused.Pointer, test.pointer)
			}
			if !strings.Contains(refused.Reason, test.reason) {
				t.Errorf("reason %q, want it to contain %q", refused.Reason, test.reason)
			}
		})
	}
}

func TestArgumentErrorHoldsNoValue(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{"a":123456789012345678901234567890}`, `{"a":"secret-value`, `{"a": secret-value}`} {
		_, err := tools.ParseArguments([]byte(raw))
		if err == nil || strings.Contains(err.Error(), "secret-value") || strings.Contains(err.Error(), "1234567890") {
			t.Errorf("%s: error %v, want one without the value", raw, err)
		}
	}
}

func TestParseArgumentsAtTheDepthLimit(t *testing.T) {
	t.Parallel()
	raw := strings.Repeat(`{"a":`, tools.MaxDepth) + "1" + strings.Repeat("}", tools.MaxDepth)
	if _, err := tools.ParseArguments([]byte(raw)); err != nil {
		t.Errorf("%d deep: %v", tools.MaxDepth, err)
	}
}

func decode(t *testing.T, raw []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
