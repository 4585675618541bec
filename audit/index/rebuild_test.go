package index_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit/index"
)

func TestIndexGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	h := three(t)
	path := filepath.Join(t.TempDir(), index.FileName)
	first, said := h.open2(path)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	h.result("payments", "c3")
	again, saidAgain := h.open2(path)
	page, err := again.Search(t.Context(), index.Query{Domains: []string{"payments"}, State: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c3", "c1"}, ids(page)); diff != "" {
		t.Error(diff)
	}
	if said.Len()+saidAgain.Len() > 0 {
		t.Errorf("a sound index was built again: %s %s", said, saidAgain)
	}
	c, err := again.Call(t.Context(), "c3")
	if err != nil || len(c.Events) != 2 {
		t.Errorf("call c3 has %d events, %v; want 2", len(c.Events), err)
	}
	agents, err := again.Agents(t.Context(), "payments")
	if err != nil || len(agents) != 2 || agents[0].Outcomes["open"] != 0 || agents[0].Outcomes["ok"] != 1 {
		t.Errorf("got agents %+v, %v", agents, err)
	}
}

func TestIntentOfACallThatIsKnownAddsNoSecondCall(t *testing.T) {
	t.Parallel()
	h := three(t)
	path := filepath.Join(t.TempDir(), index.FileName)
	first, _ := h.open2(path)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(wanted{call: "c4", domain: "payments", tool: "payments.refund", person: "alice", agent: "copilot", arguments: `{"amount":4}`})
	h.open(wanted{call: "c1", domain: "payments", tool: "payments.refund", person: "mallory", agent: "copilot", arguments: `{"amount":2}`})
	again, said := h.open2(path)
	if said.Len() > 0 {
		t.Errorf("a sound index was built again: %s", said)
	}
	page, err := again.Search(t.Context(), index.Query{Domains: []string{"payments"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c4", "c3", "c1"}, ids(page)); diff != "" {
		t.Error(diff)
	}
	c, err := again.Call(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	if last := c.Events[len(c.Events)-1]; len(c.Events) != 5 || last.Counted || last.Finding == "" || c.Principal != "alice" {
		t.Errorf("call c1 of %s has %d events, the last %+v; want a fifth that breaks a rule", c.Principal, len(c.Events), last)
	}
}

func TestUselessFileIsBuiltAgainAndSaidSo(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, path string){
		"no database": func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another schema": func(t *testing.T, path string) { t.Helper(); poke(t, path, 60, []byte{0, 0, 0, 99}) },
		"another log": func(t *testing.T, path string) {
			t.Helper()
			other := three(t)
			other.result("payments", "c3")
			i := other.indexed(path)
			if err := i.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := three(t)
			path := filepath.Join(t.TempDir(), index.FileName)
			i := h.indexed(path)
			if err := i.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path)
			again, said := h.open2(path)
			page, err := again.Search(t.Context(), index.Query{Domains: []string{"payments"}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"c3", "c1"}, ids(page)); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(said.String(), "built again") {
				t.Errorf("nothing said about it: %q", said)
			}
		})
	}
}

func poke(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDamageThatASearchMeetsIsRepairedByRun(t *testing.T) {
	t.Parallel()
	h := three(t)
	path := filepath.Join(t.TempDir(), index.FileName)
	i := h.indexed(path)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	poke(t, path, 2*page, bytes.Repeat([]byte{0xff}, int(info.Size())-2*page))
	again, err := index.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // the test is over
	h.result("payments", "c3")
	h.catchUp(again)
	got, err := again.Search(t.Context(), index.Query{Domains: []string{"payments"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c3", "c1"}, ids(got)); diff != "" {
		t.Error(diff)
	}
}
