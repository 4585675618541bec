package bridge

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEventsAreReadAsBrowsersDo(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                                      nil,
		"data: a\n\n":                           {"a"},
		"data:a\r\n\r\ndata:  b\n\n":            {"a", " b"},
		"event: x\nid: 1\ndata: a\ndata: b\n\n": {"a\nb"},
		"data: cut off":                         nil,
		": comment\n\n\n\ndata\n\ndata: a\n\n":  {"a"},
	} {
		var got []string
		if err := events(strings.NewReader(in), func(data []byte) error { got = append(got, string(data)); return nil }); err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func FuzzLineFromAClient(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`))
	f.Add([]byte(`{"id":null,"params":[]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parse(line)
		if err != nil {
			return
		}
		for name, values := range m.headers(nil) {
			for _, v := range values {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Errorf("the header %s breaks the request: %q", name, v)
				}
			}
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"a\":\ndata: 1}\n\n"))
	f.Add([]byte("data\n\n:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		_ = events(bytes.NewReader(stream), func(data []byte) error {
			if line := oneLine(data); bytes.ContainsAny(line, "\r\n") {
				t.Errorf("%q is not one line", line)
			}
			return nil
		})
	})
}
