package witness

import (
	"strings"
	"testing"
)

// FuzzRequest: what is read as a request is written as it was read.
func FuzzRequest(f *testing.F) {
	hash := strings.Repeat("A", 43) + "=\n"
	f.Add("old 0\n\ndeed/acme/payments/calls\n1\n" + hash + "\n— deed/acme x\n")
	f.Add("old 17\n" + hash + hash + "\nx\n")
	f.Add("old 01\n\n")
	f.Fuzz(func(t *testing.T, body string) {
		r, err := parseRequest(body)
		if err != nil {
			return
		}
		if got := r.text(); got != body {
			t.Errorf("%q became %q", body, got)
		}
	})
}

// FuzzTree: what is read as a checkpoint begins with what was read of it.
func FuzzTree(f *testing.F) {
	f.Add("deed/acme/payments/calls\n17\n" + strings.Repeat("A", 43) + "=\n")
	f.Add("o\n1\nx\nextension\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := parseTree(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text, tree.origin+"\n") || tree.size < 0 {
			t.Errorf("%q became %+v", text, tree)
		}
	})
}
