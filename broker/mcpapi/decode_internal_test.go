package mcpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever decodeMessage accepts means the same to encoding/json, which mcp-go reads
// with, as it did here; and reading the canonical form again changes nothing.
func FuzzDecodeMessage(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,{"y":null}]},"_meta":{"progressToken":1}}}`,
		`{"jsonrpc":"2.0","id":"\u0061","method":"ping","params":null}`,
		`{"jsonrpc":"2.0","id":1,"result":{}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}`,
		`{"jsonrpc":"2.0","id":1,"METHOD":"x","method":"y"}`,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params" : {"protocolVersion":"2025-11-25","clientInfo":{"name":"a","version":"b"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"dev.deed/idempotency_key":"k","traceparent":"00-"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b","name":"c"}}`,
		`[]`, `{`, "\xff", `{"jsonrpc":"2.0","id":1,"method":"x"}{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeMessage(body)
		if err != nil {
			if _, ok := errors.AsType[*fault](err); !ok {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		var theirs struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				Name      string          `json:"name"`
				URI       string          `json:"uri"`
				Arguments json.RawMessage `json:"arguments"`
			} `json:"params"`
		}
		canonical := m.canonical()
		if err := json.Unmarshal(canonical, &theirs); err != nil && m.call.name != "" {
			t.Fatalf("%s: %v", canonical, err)
		} else if err == nil {
			if theirs.Method != m.method || !bytes.Equal(theirs.ID, m.id) || !bytes.Equal(theirs.Params.Arguments, m.call.arguments) {
				t.Fatalf("%s is read as %+v", canonical, theirs)
			}
			if theirs.Params.Name != m.call.name || theirs.Params.URI != m.call.uri {
				t.Fatalf("%s is read as the name %q", canonical, theirs.Params.Name)
			}
		}
		again, err := decodeMessage(canonical)
		if err != nil {
			t.Fatalf("%s: %v", canonical, err)
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatal(cmp.Diff(m, again, cmp.AllowUnexported(message{}, callParams{}, meta{}, implementation{})))
		}
	})
}

func TestTraceParents(t *testing.T) {
	t.Parallel()
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for value, want := range map[string]string{
		good:            good,
		"":              "",
		good + "-x":     "",
		"01" + good[2:]: "",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": "",
	} {
		if got := validTraceParent(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestClientNamesAreShortAndPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[implementation]string{
		{"a\nb\x1b[31m", "1"}: "ab[31m/1",
		{"", ""}:              "",
		{"é\u202eb", ""}:      "éb",
	} {
		if got := in.String(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	long := implementation{name: string(bytes.Repeat([]byte("é"), 1000))}
	if got := long.String(); len(got) > maxText {
		t.Errorf("%d bytes", len(got))
	}
}
