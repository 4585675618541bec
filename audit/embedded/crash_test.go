package embedded_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

// The test binary runs itself again as a process that appends until it is killed,
// or that only holds the log open.
const (
	childDir  = "DEED_EMBEDDED_TEST_DIR"
	childHold = "DEED_EMBEDDED_TEST_HOLD"

	childRemove = "DEED_EMBEDDED_TEST_REMOVE"
)

// runChild reports whether this process is the child; then it has done its work.
func runChild() bool {
	work, dir := appendForever, os.Getenv(childDir)
	if dir == "" {
		work, dir = runReadOnly, os.Getenv(childReadOnly)
	}
	if dir == "" {
		return false
	}
	if os.Getenv(childRemove) != "" {
		work = removeForever
	}
	if err := work(dir); err != nil {
		_, _ = fmt.Fprintln(os.Stdout, "error", err) // the parent reads it or is gone
	}
	return true
}

func appendForever(dir string) error {
	ctx := context.Background()
	l, err := embedded.Open(ctx, dir, small)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	var mu sync.Mutex // one line is one write
	say := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = out.WriteString(line + "\n")
		_ = out.Flush()
	}
	say("ready")
	switch {
	case os.Getenv(childHold) != "":
		select {}
	case os.Getenv(childBreak) != "":
		appendUntilBroken(ctx, l, say)
		return l.Close()
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for {
				e := audittest.Intent(audittest.NewID(), `{"amount":1}`)
				e.Domain = []string{"payments", "source"}[w%2]
				p, err := l.Append(ctx, e)
				if err != nil {
					say("error " + err.Error())
					return
				}
				say(p.String() + " " + e.ID)
			}
		})
	}
	wg.Wait()
	return nil
}

// child starts the process and returns what it says.
func child(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), childDir+"="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the child says %q, not ready", lines.Text())
	}
	return cmd, lines
}

// A process that is killed at any moment loses nothing that it had acknowledged.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	acknowledged := map[string]string{} // position to id
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		cmd, lines := child(t, dir)
		killAfter := 1 + rand.IntN(400)
		for n := 0; lines.Scan(); n++ {
			if n == killAfter {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			at, id, _ := strings.Cut(lines.Text(), " ")
			if at == "error" {
				t.Fatal(id)
			}
			acknowledged[at] = id
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		checkHistory(t, dir, acknowledged)
	}
}

// checkHistory checks the log as a reviewer would, before and after a writer
// recovers it.
func checkHistory(t *testing.T, dir string, acknowledged map[string]string) {
	t.Helper()
	r, err := embedded.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	dead := checkLog(t, r, acknowledged)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := embedded.Open(t.Context(), dir, small)
	if err != nil {
		t.Fatal(err)
	}
	if alive := checkLog(t, l, acknowledged); alive != dead {
		t.Errorf("%d records before recovery, %d after", dead, alive)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkLog checks that all acknowledged events are there, that indices have no
// gap, and that the stored trees are those of the records.
func checkLog(t *testing.T, r reader, acknowledged map[string]string) int {
	t.Helper()
	records, err := audittest.Take(r.Read(t.Context(), ""), -1)
	if err != nil {
		t.Fatal(err)
	}
	trees := map[string]*memoryTree{}
	stands := map[string]string{}
	for _, record := range records {
		tree := trees[record.Position.Log]
		if tree == nil {
			tree = &memoryTree{}
			trees[record.Position.Log] = tree
		}
		if record.Position.Index != tree.size {
			t.Fatalf("record %s, want index %d", record.Position, tree.size)
		}
		tree.add(t, record.Stored)
		var e audit.Event
		if err := json.Unmarshal(record.Stored, &e); err != nil {
			t.Fatalf("record %s: %v", record.Position, err)
		}
		stands[record.Position.String()] = e.ID
		checkPayload(t, r, record.Position, e)
	}
	for at, id := range acknowledged {
		if stands[at] != id {
			t.Fatalf("acknowledged %s at %s, where now stands %q", id, at, stands[at])
		}
	}
	checkTrees(t, r, trees)
	return len(records)
}

// checkPayload checks that an intent's arguments are what it commits to, or erased.
func checkPayload(t *testing.T, r reader, at audit.Position, e audit.Event) {
	t.Helper()
	if e.Type != audit.CallIntent {
		return
	}
	intent, err := audit.DataOf[audit.Intent](e)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Payload(t.Context(), at, audit.PayloadArguments)
	if !errors.Is(err, audit.ErrErased) && (err != nil || !intent.Arguments.Matches(p)) {
		t.Fatalf("arguments of %s do not match their commitment: %v", at, err)
	}
}

func checkTrees(t *testing.T, r reader, trees map[string]*memoryTree) {
	t.Helper()
	sizes, err := r.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(sizes) != len(trees) {
		t.Errorf("%d logs, want %d", len(sizes), len(trees))
	}
	for name, tree := range trees {
		want, err := tlog.TreeHash(tree.size, tree)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tlog.TreeHash(sizes[name], r.Hashes(t.Context(), name))
		if err != nil || got != want || sizes[name] != tree.size {
			t.Errorf("tree of %s: root %s at %d (%v), its records make %s at %d", name, got, sizes[name], err, want, tree.size)
		}
	}
}

// A second process cannot write the log, and can once the first is gone.
func TestSecondProcessIsLockedOut(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	cmd, _ := child(t, dir, childHold+"=1")
	_, err := embedded.Open(t.Context(), dir, small)
	if !errors.Is(err, audit.ErrLocked) {
		t.Errorf("open beside another process: %v, want ErrLocked", err)
	} else if msg := err.Error(); !strings.Contains(msg, dir) || !strings.Contains(msg, "another deed is running") {
		t.Errorf("the error %q does not name the directory and the reason", msg)
	}
	r, err := embedded.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatalf("open read-only beside another process: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	open(t, dir, small)
}
