package verify_test

import (
	"database/sql"
	"encoding/base64"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// retired is a log as [written] has it, of which retention has put a removal on record
// and done it, perhaps otherwise than it says.
func retired(t *testing.T, said func(*audit.Removal), removed int64) (string, *seal.Key) {
	t.Helper()
	dir, key := written(t)
	l, err := embedded.Open(t.Context(), dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := audit.Removal{Log: log, To: removed, Before: time.Now(), Root: rootAt(t, l, removed), Reason: "retention 1y of domain payments"}
	if said != nil {
		said(&data)
	}
	if data.Log != "" {
		if _, err := l.Append(t.Context(), audittest.NewEvent(audit.RecordsRemoved, "", data)); err != nil {
			t.Fatal(err)
		}
	}
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Tenant: audittest.Tenant, Source: audittest.Source})
	if err != nil {
		t.Fatal(err)
	}
	if err := sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), log, removed); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, key
}

func rootAt(t *testing.T, l *embedded.Log, size int64) string {
	t.Helper()
	root, err := tlog.TreeHash(size, l.Hashes(t.Context(), log))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(root[:])
}

func TestWhatRetentionHasRemovedOnRecordIsNoFinding(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{2, 8, 14, 20} { // the last: nothing is left
		dir, key := retired(t, nil, n)
		r := verifyDir(t, dir, key)
		i := slices.IndexFunc(r.Logs, func(l verify.LogReport) bool { return l.Log == log })
		if !r.OK() || r.Calls != 10-n/2 || r.Logs[i].Removed != n || r.Logs[i].Size != 20 || r.Logs[i].Root == "" {
			t.Errorf("%d removed: %+v", n, r)
		}
		if !slices.ContainsFunc(r.Notes, func(n string) bool {
			return strings.Contains(n, "were removed by retention") && strings.Contains(n, "deed/control@1: retention 1y of domain payments")
		}) {
			t.Errorf("%d removed: it is not said: %q", n, r.Notes)
		}
	}
}

func TestRemovalsThatAreNotOnRecordOrSayOtherwiseAreFound(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		said    func(*audit.Removal)
		removed int64
		rule    verify.Rule
		at      audit.Position
	}{
		"nothing on record":  {func(m *audit.Removal) { m.Log = "" }, 8, verify.Missing, audit.Position{Log: log}},
		"more than is said":  {func(m *audit.Removal) { m.To = 6 }, 8, verify.Missing, audit.Position{Log: log, Index: 6}},
		"of another log":     {func(m *audit.Removal) { m.Log = "source/calls" }, 8, verify.Missing, audit.Position{Log: log}},
		"another root":       {func(m *audit.Removal) { m.Root = base64.StdEncoding.EncodeToString(make([]byte, 32)) }, 8, verify.BadRemoval, audit.Position{Log: "deed/control", Index: 1}},
		"not from the first": {func(m *audit.Removal) { m.From = 2 }, 8, verify.BadRemoval, audit.Position{Log: "deed/control", Index: 1}},
		"of nothing":         {func(m *audit.Removal) { m.To = 0 }, 8, verify.BadRemoval, audit.Position{Log: "deed/control", Index: 1}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, key := retired(t, tt.said, tt.removed)
			r := verifyDir(t, dir, key)
			if !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Rule == tt.rule && f.Where == tt.at }) {
				t.Errorf("want %s at %s, got %v, %v", tt.rule, tt.at, r.Findings, r.Notes)
			}
		})
	}
}

// Whoever writes the file can take away what a removal names, and nothing else: not a
// record behind it, not a hash of it.
func TestRowsChangedBesideARemovalAreFound(t *testing.T) {
	t.Parallel()
	const calls = `log = (SELECT id FROM logs WHERE name = 'payments/calls')`
	for what, tt := range map[string]struct {
		change string
		rule   verify.Rule
		index  int64
	}{
		"another body emptied":      {`UPDATE records SET body = x'' WHERE idx = 8 AND ` + calls, verify.Missing, 8},
		"one further on emptied":    {`UPDATE records SET body = x'' WHERE idx = 12 AND ` + calls, verify.Missing, 12},
		"a removed record's hashes": {`UPDATE records SET hashes = zeroblob(length(hashes)) WHERE idx = 3 AND ` + calls, verify.RootMismatch, 0},
		"another body put there":    {`UPDATE records SET body = (SELECT body FROM records WHERE idx = 9 AND ` + calls + `) WHERE idx = 3 AND ` + calls, verify.Altered, 3},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, key := retired(t, nil, 8)
			db, err := sql.Open("sqlite", filepath.Join(dir, embedded.FileName))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), tt.change); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			r := verifyDir(t, dir, key)
			want := audit.Position{Log: log, Index: tt.index}
			if !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Rule == tt.rule && f.Where == want }) {
				t.Errorf("want %s at %s, got %v, %v", tt.rule, want, r.Findings, r.Notes)
			}
		})
	}
}

// A removal that a crash cut off is one that the broker goes on with: what is there yet
// is counted.
func TestARemovalThatIsNotDoneYetIsTold(t *testing.T) {
	t.Parallel()
	dir, key := retired(t, func(m *audit.Removal) { m.To, m.Root = 10, "" }, 6)
	r := verifyDir(t, dir, key)
	if len(r.Findings) != 1 || r.Findings[0].Rule != verify.BadRemoval { // only its root, which this test left out
		t.Errorf("got %v", r.Findings)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.HasPrefix(n, log+": 4 records are there") }) {
		t.Errorf("it is not told: %q", r.Notes)
	}
}
