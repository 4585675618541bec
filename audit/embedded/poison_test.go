//go:build unix

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

// childBreak makes the child append until the system refuses its writes.
const childBreak = "DEED_EMBEDDED_TEST_BREAK"

// appendUntilBroken limits how large this process's files may grow, which fails
// writes in the middle of a transaction, and lifts the limit again afterwards.
func appendUntilBroken(ctx context.Context, l *embedded.Log, say func(string)) {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		say("error " + err.Error())
		return
	}
	whole := limit.Cur
	limit.Cur = 1 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		say("error " + err.Error())
		return
	}
	for range 1000 {
		e := audittest.Intent(audittest.NewID(), `"`+strings.Repeat("x", 8<<10)+`"`)
		p, err := l.Append(ctx, e)
		if err != nil {
			say(fmt.Sprintf("broken uncertain=%t unavailable=%t full=%t",
				errors.Is(err, audit.ErrUncertain), errors.Is(err, audit.ErrUnavailable), errors.Is(err, audit.ErrFull)))
			break
		}
		say(p.String() + " " + e.ID)
	}
	limit.Cur = whole
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		say("error " + err.Error())
		return
	}
	_, err := l.Append(ctx, audittest.Denied(audittest.NewID()))
	say(fmt.Sprintf("after unavailable=%t health=%t", errors.Is(err, audit.ErrUnavailable), l.Health() != nil))
}

// A commit that the disk fails is not acknowledged, and nothing is after it, even
// when the disk is well again, until the log is opened anew.
func TestFailedCommitPoisonsTheLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	cmd, lines := child(t, dir, childBreak+"=1")
	acknowledged := map[string]string{}
	var said []string
	for lines.Scan() {
		at, id, _ := strings.Cut(lines.Text(), " ")
		if strings.Contains(at, "@") {
			acknowledged[at] = id
		} else {
			said = append(said, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	want := "broken uncertain=true unavailable=false full=false; after unavailable=true health=true"
	if got := strings.Join(said, "; "); got != want {
		t.Errorf("the process says %q, want %q", got, want)
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged before the disk failed")
	}
	checkHistory(t, dir, acknowledged)
	if _, err := os.Stat(filepath.Join(dir, embedded.ReserveName)); err != nil {
		t.Errorf("a disk that fails is not a full one, but the reserve is gone: %v", err)
	}
}
