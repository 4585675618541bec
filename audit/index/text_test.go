package index_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
)

func TestErasedArgumentsLeaveNoTraceInTheFile(t *testing.T) {
	t.Parallel()
	h := three(t)
	path := filepath.Join(t.TempDir(), index.FileName)
	i := h.indexed(path)
	q := index.Query{Domains: []string{"payments"}, Readable: []string{"payments"}, Text: "kettle"}
	if page, err := i.Search(t.Context(), q); err != nil || len(page.Calls) != 1 {
		t.Fatalf("before: %+v, %v", page, err)
	}
	if !fileHas(t, path, "kettle") {
		t.Fatal("the test looks for the word in the wrong place")
	}
	if err := i.Erased(t.Context(), erasedPayloads{}, "c1", "unknown"); err != nil {
		t.Fatal(err)
	}
	if page, err := i.Search(t.Context(), q); err != nil || len(page.Calls) != 0 {
		t.Errorf("after: %+v, %v", page, err)
	}
	if fileHas(t, path, "kettle") {
		t.Error("the erased word is still in the file")
	}
	q.Text = "customer"
	if page, err := i.Search(t.Context(), q); err != nil || len(page.Calls) != 1 {
		t.Errorf("the rest of the call cannot be found any more: %+v, %v", page, err)
	}
}

type erasedPayloads struct{}

func (erasedPayloads) Payload(context.Context, audit.Position, string) (audit.Payload, error) {
	return audit.Payload{}, audit.ErrErased
}

func fileHas(t *testing.T, path, word string) bool {
	t.Helper()
	for _, name := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(word)) {
			return true
		}
	}
	return false
}

func FuzzTypedTextIsNeverSyntax(f *testing.F) {
	for _, s := range []string{`kettle`, `"`, `a" OR "b`, `NEAR(a b)`, `text:kettle`, `*`, `^a`, "a\x00b", `-a +b (c)`, "日本語 ﷽", "\xff\xfe", "a*b* c*", "𐐷 ᭄", "e\u0301"} {
		f.Add(s)
	}
	i := three(f).indexed(filepath.Join(f.TempDir(), index.FileName))
	f.Fuzz(func(t *testing.T, typed string) {
		if len(typed) > index.MaxSearch {
			t.Skip()
		}
		q := index.Query{Domains: []string{"payments"}, Text: typed + " wordthatnocallhas"}
		page, err := i.Search(t.Context(), q)
		if err != nil {
			t.Fatalf("%q: %v", typed, err)
		}
		if len(page.Calls) > 0 && strings.Count(typed, " ") < index.MaxTerms && len(typed) < index.MaxTerms {
			t.Fatalf("%q found a call that does not have all of the words", typed)
		}
	})
}
