package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

const removedLog = audittest.Domain + "/calls"

// many is a log of n calls, each of another mark, beside those of another domain.
func many(t *testing.T, dir string, n int) *embedded.Log {
	t.Helper()
	l := open(t, dir, small)
	for i := range n {
		e := audittest.Intent(audittest.NewID(), fmt.Sprintf(`{"mark":"argument-%04d"}`, i))
		e.TraceParent = fmt.Sprintf("mark-%04d", i)
		other := audittest.Intent(audittest.NewID(), `{}`)
		other.Domain = "source"
		for _, e := range []audit.Event{e, other} {
			if _, err := l.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l
}

func root(t *testing.T, r reader, log string, size int64) tlog.Hash {
	t.Helper()
	h, err := tlog.TreeHash(size, r.Hashes(t.Context(), log))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// checkRemoved checks that the records before to are gone and their proofs are not.
func checkRemoved(t *testing.T, r reader, calls, to int64, root30, whole tlog.Hash) {
	t.Helper()
	records, err := audittest.Take(r.Read(t.Context(), ""), -1)
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int64{removedLog: to}
	for _, rec := range records {
		if rec.Position.Index != next[rec.Position.Log] {
			t.Fatalf("read %s, want index %d", rec.Position, next[rec.Position.Log])
		}
		next[rec.Position.Log]++
	}
	if next[removedLog] != calls || next["source/calls"] != calls {
		t.Errorf("read up to %v, want %d of each", next, calls)
	}
	for _, i := range []int64{0, to - 1} {
		at := audit.Position{Log: removedLog, Index: i}
		if _, err := r.Record(t.Context(), at); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("a removed record: %v", err)
		}
		if _, err := r.Payload(t.Context(), at, audit.PayloadArguments); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("its payload: %v", err)
		}
	}
	hashes := r.Hashes(t.Context(), removedLog)
	rec, err := r.Record(t.Context(), audit.Position{Log: removedLog, Index: to})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := tlog.ProveRecord(calls, to, hashes)
	if err == nil {
		err = tlog.CheckRecord(proof, calls, whole, to, tlog.RecordHash(rec.Stored))
	}
	if err != nil {
		t.Errorf("the first that is left is not proved: %v", err)
	}
	tree, err := tlog.ProveTree(calls, 30, hashes)
	if err == nil {
		err = tlog.CheckTree(tree, calls, whole, 30, root30)
	}
	if err != nil {
		t.Errorf("a checkpoint among the removed is not extended: %v", err)
	}
}

func TestRemovedRecordsLeaveTheirHashesAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	const calls, to = 1300, 1100 // more than are removed at once
	l := many(t, dir, calls)
	root30, whole := root(t, l, removedLog, 30), root(t, l, removedLog, calls)
	if err := l.Remove(t.Context(), removedLog, to); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), removedLog, to-5); err != nil { // was done before
		t.Fatal(err)
	}
	checkRemoved(t, l, calls, to, root30, whole)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	followed := 0
	for _, err := range l.Follow(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		if followed++; followed == 2*calls-to {
			break
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"mark-0000": false, "argument-1099": false, "mark-1100": true, "argument-1100": true} {
		if found, err := grep(t, dir, text); err != nil || found != want {
			t.Errorf("%s is in the files: %t, %v", text, found, err)
		}
	}

	again := open(t, dir, small)
	checkRemoved(t, again, calls, to, root30, whole)
	if first, err := again.Oldest(t.Context(), removedLog); err != nil || first != to {
		t.Errorf("the oldest is %d, %v", first, err)
	}
	if _, err := again.Append(t.Context(), audittest.Intent(audittest.NewID(), `{}`)); err != nil {
		t.Fatal(err)
	}
	checkAhead(t, again)
}

// checkAhead checks the count of what is ahead of each cursor.
func checkAhead(t *testing.T, l *embedded.Log) {
	t.Helper()
	records, err := audittest.Take(l.Read(t.Context(), ""), -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(records) + 1 {
		cursor := audit.Cursor("")
		if i > 0 {
			cursor = records[i-1].Next
		}
		if n, err := l.Ahead(t.Context(), cursor); err != nil || n != int64(len(records)-i) {
			t.Fatalf("ahead of record %d of %d are %d, %v", i, len(records), n, err)
		}
	}
}

// A log from which everything was removed goes on where it was.
func TestALogOfWhichNothingIsLeftGoesOn(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	l := many(t, dir, 40)
	if err := l.Remove(t.Context(), removedLog, 40); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, small)
	at, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), `{}`))
	if err != nil || at.Index != 40 {
		t.Fatalf("the next one is %s, %v", at, err)
	}
	checkAhead(t, l)
	if err := l.Remove(t.Context(), "no/calls", 3); err == nil {
		t.Error("records of no log were removed")
	}
}

// removeForever removes one half of a log, record by record, until it is killed.
func removeForever(dir string) error {
	ctx := context.Background()
	l, err := embedded.Open(ctx, dir, small)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "ready")
	for to := int64(1); to <= 100; to++ {
		if err := l.Remove(ctx, removedLog, to); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(os.Stdout, to)
	}
	select {}
}

// A process that is killed while it removes leaves a log of which the oldest records are
// gone, as many as it said at least, and everything else is as it was.
func TestAKilledRemovalLeavesAPrefix(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	const calls = 150
	l := many(t, dir, calls)
	root30, whole := root(t, l, removedLog, 30), root(t, l, removedLog, calls)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, killAt := range []string{"3", "40", "77"} {
		cmd, lines := child(t, dir, childRemove+"=1")
		for lines.Scan() && lines.Text() != killAt {
			if bytes.HasPrefix(lines.Bytes(), []byte("error")) {
				t.Fatal(lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		r, err := embedded.OpenReadOnly(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		first, err := r.Oldest(t.Context(), removedLog)
		if err != nil || fmt.Sprintf("%3d", first) < fmt.Sprintf("%3s", killAt) {
			t.Errorf("after %s the oldest is %d, %v", killAt, first, err)
		}
		checkRemoved(t, r, calls, first, root30, whole)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, dir, small)
	if err := l.Remove(t.Context(), removedLog, 110); err != nil {
		t.Fatal(err)
	}
	checkRemoved(t, l, calls, 110, root30, whole)
}
