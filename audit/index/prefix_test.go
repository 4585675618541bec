package index_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/index"
)

// TestBeginningsOfManyWords: of so many that they are not searched for one by one. Some are in
// every call, some in the arguments of two calls of three.
func TestBeginningsOfManyWords(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	const count = 450
	var ids []string
	for n := range count {
		id := audittest.NewID()
		ids = append(ids, id)
		text := `{"note":"nothing"}`
		if n%3 > 0 {
			text = fmt.Sprintf(`{"note":"number-%d"}`, n)
		}
		if _, err := h.log.Append(t.Context(), audittest.Intent(id, text)); err != nil {
			t.Fatal(err)
		}
	}
	i := h.indexed(filepath.Join(t.TempDir(), index.FileName))
	all := func(int) bool { return true }
	some := func(n int) bool { return n%3 > 0 }
	everywhere := ids[0][:3] + "*" // they begin with the time
	for text, want := range map[string]func(int) bool{
		everywhere:                          all,
		"number-*":                          some,
		everywhere + " number-*":            some,
		"number-* " + everywhere + " copi*": some,
		everywhere + " nothing":             func(n int) bool { return n%3 == 0 },
		everywhere + " number-1*":           func(n int) bool { return some(n) && fmt.Sprint(n)[0] == '1' },
		everywhere + " absent*":             func(int) bool { return false },
	} {
		var expected []string
		for n := count - 1; n >= 0; n-- {
			if want(n) {
				expected = append(expected, ids[n])
			}
		}
		domains := []string{audittest.Domain}
		q := index.Query{Domains: domains, Readable: domains, Text: text, Limit: 70}
		var got []string
		for {
			page, err := i.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page.Calls {
				got = append(got, c.ID)
			}
			if q.After = page.Next; q.After == "" {
				break
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(expected) {
			t.Errorf("%s finds %d calls, want %d", text, len(got), len(expected))
		}
		q.Readable, q.After = nil, ""
		if page, err := i.Search(t.Context(), q); err != nil || (len(page.Calls) > 0) != (text == everywhere) {
			t.Errorf("%s, where arguments may not be read, finds %d calls, %v", text, len(page.Calls), err)
		}
	}
}

// TestPagesOfTheFileFitCalls: the size of pages is settled before anything is written.
func TestPagesOfTheFileFitCalls(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), index.FileName)
	newHistory(t).indexed(path)
	head, err := os.ReadFile(path)
	if err != nil || len(head) < 18 {
		t.Fatal(len(head), err)
	}
	if size := binary.BigEndian.Uint16(head[16:]); size != 8192 {
		t.Errorf("pages of %d bytes", size)
	}
}
