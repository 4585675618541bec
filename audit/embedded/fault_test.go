package embedded_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

// written makes a log of some records, closed again, and returns its directory.
func written(t *testing.T, records int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	l, err := embedded.Open(t.Context(), dir, small)
	if err != nil {
		t.Fatal(err)
	}
	for range records {
		if _, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), `{"amount":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// execute changes the log's file behind its back.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file that is not the log it should be is refused at once, by its name.
func TestDamagedFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(t *testing.T, path string)
		want   error
		says   string
	}{
		"not a database": {func(t *testing.T, path string) {
			t.Helper()
			overwrite(t, path, bytes.Repeat([]byte("this is not a database. "), 400))
		}, audit.ErrCorrupt, "not an SQLite database"},
		"cut short": {func(t *testing.T, path string) {
			t.Helper()
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, info.Size()/2)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, audit.ErrCorrupt, "damaged"},
		"another program's": {func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			execute(t, path, "CREATE TABLE notes (text)")
		}, audit.ErrCorrupt, "another program"},
		"newer schema": {func(t *testing.T, path string) {
			t.Helper()
			execute(t, path, "PRAGMA user_version = 99")
		}, audit.ErrUnavailable, "newer deed"},
		"newest record changed": {func(t *testing.T, path string) {
			t.Helper()
			execute(t, path, "UPDATE records SET body = CAST(replace(body, 'alice', 'mallo') AS BLOB) WHERE seq = (SELECT max(seq) FROM records)")
		}, audit.ErrCorrupt, "does not have its hash"},
		"numbers that do not add up": {func(t *testing.T, path string) {
			t.Helper()
			execute(t, path, "UPDATE records SET seq = 100 WHERE seq = 40")
		}, audit.ErrCorrupt, "records"},
		"a root removed": {func(t *testing.T, path string) {
			t.Helper()
			execute(t, path, "UPDATE records SET hashes = x'' WHERE idx = 31")
		}, audit.ErrCorrupt, "holds no hash"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := written(t, 40)
			path := filepath.Join(dir, embedded.FileName)
			c.damage(t, path)
			l, err := embedded.Open(t.Context(), dir, small)
			if err == nil {
				_ = l.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), path) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("open: %v, want %v that names %s and says %q", err, c.want, path, c.says)
			}
		})
	}
}

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReadOnlyNeedsALog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := embedded.OpenReadOnly(t.Context(), dir); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("open read-only where there is no log: %v, want ErrNotFound", err)
	}
	overwrite(t, filepath.Join(dir, embedded.FileName), nil)
	if _, err := embedded.OpenReadOnly(t.Context(), dir); !errors.Is(err, audit.ErrCorrupt) {
		t.Errorf("open read-only of an empty file: %v, want ErrCorrupt", err)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, dir, small)
	if _, err := l.Append(t.Context(), audittest.Denied(audittest.NewID())); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 4 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v), want 0600", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v (%v), want 0700", info.Mode(), err)
	}
	loose := t.TempDir()
	if err := os.Chmod(loose, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(t.Context(), loose, small); err == nil {
		t.Error("a directory that others can write was accepted")
	}
}

// When there is no room, calls are refused and open ones can still be closed;
// when there is room again, calls are accepted again. Nothing is acknowledged
// that is not there.
func TestFullLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, dir, embedded.Options{ReserveBytes: 512 << 10, MaxFileBytes: 2 << 20})
	acknowledged, refusal := fillUp(t, l, func() audit.Event {
		return audittest.Intent(audittest.NewID(), `"`+strings.Repeat("x", 8<<10)+`"`)
	})
	if !errors.Is(refusal, audit.ErrFull) || !errors.Is(l.Health(), audit.ErrFull) || !l.Stats().Full {
		t.Fatalf("a full log says %v, its health %v", refusal, l.Health())
	}
	if _, err := os.Stat(filepath.Join(dir, embedded.ReserveName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the reserve is not given up: %v", err)
	}
	if _, err := l.Append(t.Context(), audittest.NewEvent(audit.TokenRejected, "", audit.Rejection{Kind: "expired"})); !errors.Is(err, audit.ErrFull) {
		t.Errorf("a rejection took of the reserve: %v", err)
	}
	for at := range acknowledged {
		id := acknowledged[at]
		p, err := l.Append(t.Context(), audittest.Result(id, `{"ok":true}`))
		if err != nil {
			t.Fatalf("close a call of a full log: %v", err)
		}
		acknowledged[p.String()] = ""
		break
	}
	closers, refusal := fillUp(t, l, func() audit.Event {
		return audittest.Result(audittest.NewID(), `"`+strings.Repeat("y", 64<<10)+`"`)
	})
	if !errors.Is(refusal, audit.ErrFull) || len(closers) == 0 {
		t.Errorf("after %d closing events a log without a reserve says %v", len(closers), refusal)
	}
	makeRoom(t, l, acknowledged, closers)
	checkHeld(t, l, len(acknowledged)+len(closers)+1)
}

// fillUp appends until the log refuses.
func fillUp(t *testing.T, l *embedded.Log, next func() audit.Event) (map[string]string, error) {
	t.Helper()
	acknowledged := map[string]string{}
	for range 10_000 {
		e := next()
		p, err := l.Append(t.Context(), e)
		if err != nil {
			return acknowledged, err
		}
		acknowledged[p.String()] = e.Subject
	}
	t.Fatal("the log never fills")
	return nil, nil
}

// makeRoom erases payloads until the log takes a call again.
func makeRoom(t *testing.T, l *embedded.Log, sets ...map[string]string) {
	t.Helper()
	for _, set := range sets {
		for at := range set {
			p, err := audit.ParsePosition(at)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{audit.PayloadArguments, audit.PayloadOutput} {
				if err := l.Erase(t.Context(), p, name); err != nil && !errors.Is(err, audit.ErrNotFound) {
					t.Fatal(err)
				}
			}
		}
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(30 * time.Second)
	for {
		_, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), `{}`))
		if err == nil {
			break
		}
		if !errors.Is(err, audit.ErrFull) {
			t.Fatal(err)
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("there is room again and the log does not see it")
		}
	}
	if err := l.Health(); err != nil {
		t.Errorf("there is room again and its health says %v", err)
	}
}

func checkHeld(t *testing.T, l *embedded.Log, want int) {
	t.Helper()
	if got := checkLog(t, l, nil); got != want {
		t.Errorf("%d records, %d were acknowledged", got, want)
	}
}

// What is erased is in none of the log's files any more.
func TestErasedBytesAreGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	l := open(t, dir, small)
	secret := "the-secret-that-must-go"
	for _, size := range []int{1, 10, 1000} {
		body := `"` + strings.Repeat(secret, size) + `"`
		p, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), body))
		if err != nil {
			t.Fatal(err)
		}
		if !holds(t, dir, secret) {
			t.Fatal("the payload is not in the files to begin with")
		}
		if err := l.Erase(t.Context(), p, audit.PayloadArguments); err != nil {
			t.Fatal(err)
		}
		if holds(t, dir, secret) {
			t.Errorf("an erased payload of %d bytes is still in a file", len(body))
		}
	}
}

func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	found, err := grep(t, dir, text)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Followers that start far back read the file, then memory, and miss nothing
// where one gives way to the other.
func TestFollowFromFarBack(t *testing.T) {
	t.Parallel()
	dir := written(t, 300)
	l := open(t, dir, small)
	const more = 5000
	done := make(chan error, 1)
	go func() {
		records, err := audittest.Take(l.Follow(t.Context(), ""), 300+more)
		for i, r := range records {
			if err == nil && r.Position.Index != int64(i) {
				err = fmt.Errorf("record %d of the stream is %s", i, r.Position)
			}
		}
		done <- err
	}()
	appendMany(t, l, more)
	if err := <-done; err != nil {
		t.Error(err)
	}
	late, err := audittest.Take(l.Follow(t.Context(), ""), 300+more)
	if err != nil || len(late) != 300+more {
		t.Errorf("a late follower got %d records, %v", len(late), err)
	}
}
