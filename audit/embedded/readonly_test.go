//go:build unix

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// childReadOnly names a log that the child reads and tries to write, on a disk that
// can only be read.
const childReadOnly = "DEED_EMBEDDED_TEST_READ_ONLY"

// runReadOnly says how many records the log has, and whether it can be written.
func runReadOnly(dir string) error {
	ctx := context.Background()
	r, err := embedded.OpenReadOnly(ctx, dir)
	if err != nil {
		return err
	}
	records := 0
	for _, e := range r.Read(ctx, "") {
		if err = errors.Join(err, e); e == nil {
			records++
		}
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	l, err := embedded.Open(ctx, dir, small)
	if err == nil {
		return errors.Join(errors.New("a log on a disk that cannot be written was opened"), l.Close())
	}
	_, err = fmt.Fprintf(os.Stdout, "%d records; unavailable=%t read-only=%t\n", records,
		errors.Is(err, audit.ErrUnavailable), errors.Is(err, syscall.EROFS))
	return err
}

// A log on a disk that can only be read is read to its end, whether its writer closed it
// or was killed, and is refused to who would write.
func TestLogOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux lets everybody have mounts of their own")
	}
	closed, killed := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "log")
	l := open(t, closed, small)
	for range 3 {
		if _, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), `{}`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, lines := child(t, killed)
	for range 20 {
		lines.Scan()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	acknowledged := 20
	for lines.Scan() {
		acknowledged++
	}
	_ = cmd.Wait() // it was killed

	var records int
	if _, err := fmt.Sscanf(onReadOnlyDisk(t, closed), "%d records; unavailable=true read-only=true", &records); err != nil || records != 3 {
		t.Errorf("of 3 records in a closed log, %d were read: %v", records, err)
	}
	if _, err := fmt.Sscanf(onReadOnlyDisk(t, killed), "%d records; unavailable=true read-only=true", &records); err != nil || records < acknowledged {
		t.Errorf("of %d records that were acknowledged before a kill, %d were read: %v", acknowledged, records, err)
	}
}

// onReadOnlyDisk runs the test's child where the directory is mounted read-only.
func onReadOnlyDisk(t *testing.T, dir string) string {
	t.Helper()
	const mounted = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$0"`
	cmd := exec.CommandContext(t.Context(), "unshare", "--map-root-user", "--mount", "sh", "-c", mounted, os.Args[0], dir)
	cmd.Env = append(os.Environ(), childReadOnly+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "unshare") && os.Getenv(need.Require) != "all" {
		t.Skipf("this system lets nobody mount: %s", out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
