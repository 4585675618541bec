package pulsar

import (
	"fmt"
	"testing"
)

func TestNotesKeepTheNewest(t *testing.T) {
	t.Parallel()
	var n notes
	const all = 2*maxNotes + 7
	for i := range int64(all) {
		n.add(i, note{event: fmt.Sprint(i)})
		n.add(i, note{event: "another"}) // the first one stands
	}
	for i := range int64(all) {
		got, known := n.get(i)
		if want := i >= all-maxNotes; known != want || known && got.event != fmt.Sprint(i) {
			t.Fatalf("note %d: %+v, known %t, want known %t", i, got, known, want)
		}
	}
	if len(n.known) != maxNotes || len(n.order) != maxNotes {
		t.Errorf("%d notes in an order of %d, want %d", len(n.known), len(n.order), maxNotes)
	}
}
