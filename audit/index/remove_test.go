package index_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
)

// What retention removes the index forgets, counts included; one that is made anew from
// what is left comes to the same.
func TestRemovedCallsAreForgotten(t *testing.T) {
	t.Parallel()
	h := three(t)
	path := filepath.Join(t.TempDir(), index.FileName)
	i := h.indexed(path)
	if err := i.Remove(t.Context(), "c1", "unknown"); err != nil {
		t.Fatal(err)
	}
	if err := h.log.Remove(t.Context(), "payments/calls", 4); err != nil { // all of c1
		t.Fatal(err)
	}
	if fileHas(t, path, "kettle") || fileHas(t, path, "customer") {
		t.Error("what was said of the call is still in the file")
	}
	if _, err := i.Call(t.Context(), "c1"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("the call: %v", err)
	}
	both := []string{"payments", "source"}
	h.open(wanted{call: "c4", domain: "source", tool: "files.write", person: "dora", agent: "sub-agent", arguments: `{}`, policy: "files-for-all"})
	h.catchUp(i)
	h2 := h.indexed(filepath.Join(t.TempDir(), index.FileName))
	page, err := h2.Search(t.Context(), index.Query{Domains: both})
	if err != nil || !slices.Equal(ids(page), []string{"c4", "c3", "c2"}) {
		t.Errorf("made anew: found %v, %v", ids(page), err)
	}
	old, err := i.Agents(t.Context(), both...)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := h2.Agents(t.Context(), both...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fresh, old); diff != "" {
		t.Errorf("agents (-made anew +went on):\n%s", diff)
	}
}
