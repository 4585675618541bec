//go:build unix

package provide

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownSession keeps the terminal's signals from the process, and lets it be ended
// with whatever it starts.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// signalSession signals all that is left of the process's group.
func signalSession(pid int, with syscall.Signal) error {
	if err := syscall.Kill(-pid, with); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// tryLock takes the lock on an open file unless another open file holds it.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// reap takes the exit status of a child; a process that isn't ours has its own parent.
func reap(pid int) {
	var status syscall.WaitStatus
	_, _ = syscall.Wait4(pid, &status, 0, nil)
}
