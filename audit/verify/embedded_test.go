package verify_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

var (
	_ verify.Source = (*embedded.Reader)(nil)
	_ verify.Hashed = (*embedded.Reader)(nil)
)

const resultMark = "the-answer-of-call-7"

// written is the directory of an embedded log that a broker wrote and sealed: ten
// calls of two records each.
func written(t *testing.T) (string, *seal.Key) {
	t.Helper()
	dir, key := t.TempDir(), newKey(t)
	l, err := embedded.Open(t.Context(), dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := func(e audit.Event) {
		t.Helper()
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	store(audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()}))
	for n := range 10 {
		id := audittest.NewID()
		store(audittest.Intent(id, fmt.Sprintf(`{"amount":%d}`, n)))
		e := audittest.Result(id, fmt.Sprintf(`{"text":"the-answer-of-call-%d"}`, n))
		e.TraceParent = fmt.Sprintf("trace-of-call-%d", n)
		store(e)
	}
	sealer, err := seal.NewSealer(seal.Config{Log: l, Trees: l, Key: key, Tenant: audittest.Tenant, Source: audittest.Source})
	if err != nil {
		t.Fatal(err)
	}
	if err := sealer.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, key
}

func openReader(t *testing.T, dir string) *embedded.Reader {
	t.Helper()
	reader, err := embedded.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	})
	return reader
}

func verifyDir(t *testing.T, dir string, key *seal.Key) *verify.Report {
	t.Helper()
	return check(t, openReader(t, dir), verify.Options{Keys: []seal.Verifier{key.Verifier()}, Closed: true})
}

func TestEmbeddedLogOfABrokerIsSound(t *testing.T) {
	t.Parallel()
	dir, key := written(t)
	if r := verifyDir(t, dir, key); !r.OK() || r.Records != 23 || r.Calls != 10 || r.Payloads != 20 || r.Checkpoints != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestFlippedBitInTheFileNamesTheRecord(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		text string
		rule verify.Rule
	}{
		"of a record":  {"trace-of-call-7", verify.Altered},
		"of a payload": {resultMark, verify.PayloadMismatch},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, key := written(t)
			path := filepath.Join(dir, embedded.FileName)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.Index(file, []byte(tt.text))
			if at < 0 {
				t.Fatal("the text is not in the file")
			}
			file[at] ^= 1
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
			r := verifyDir(t, dir, key)
			want := audit.Position{Log: log, Index: 15}
			if len(r.Findings) != 1 || r.Findings[0].Rule != tt.rule || r.Findings[0].Where != want || r.Findings[0].CallID == "" {
				t.Errorf("got %v, want %s at %s", r.Findings, tt.rule, want)
			}
		})
	}
}

func TestRowsChangedInTheDatabaseAreFound(t *testing.T) {
	t.Parallel()
	const calls = `log = (SELECT id FROM logs WHERE name = 'payments/calls')`
	for what, tt := range map[string]struct {
		change string
		rule   verify.Rule
		index  int64
	}{
		"a row deleted":         {`DELETE FROM records WHERE idx = 6 AND ` + calls, verify.Missing, 6},
		"the last rows deleted": {`DELETE FROM records WHERE idx > 16 AND ` + calls, verify.Truncated, 17},
		"a body over another":   {`UPDATE records SET body = (SELECT body FROM records WHERE idx = 9 AND ` + calls + `) WHERE idx = 7 AND ` + calls, verify.Altered, 7},
		"a gap in the order":    {`DELETE FROM records WHERE idx = 19 AND ` + calls, verify.Unreadable, 19},
		"a body and its hash":   {`UPDATE records SET body = CAST(replace(CAST(body AS TEXT), 'trace', 'tracf') AS BLOB), hashes = zeroblob(length(hashes)) WHERE idx = 5 AND ` + calls, verify.RootMismatch, 0},
		"a stored hash alone":   {`UPDATE records SET hashes = zeroblob(length(hashes)) WHERE idx = 19 AND ` + calls, verify.StoredHash, 19},
		"a payload taken away":  {`DELETE FROM payloads WHERE id / 16 = (SELECT seq FROM records WHERE idx = 4 AND ` + calls + `)`, verify.PayloadMissing, 4},
		"a payload of another":  {`UPDATE payloads SET body = CAST('{"amount":7}' AS BLOB) WHERE id / 16 = (SELECT seq FROM records WHERE idx = 4 AND ` + calls + `)`, verify.PayloadMismatch, 4},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir, key := written(t)
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
