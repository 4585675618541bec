//go:build unix

package upstream

import (
	"os/exec"
	"syscall"
)

// ownGroup makes the process lead a group of its own, so that what it starts can be
// ended with it and signals to the broker's terminal do not reach it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminateGroup(cmd *exec.Cmd) { signalGroup(cmd, syscall.SIGTERM) }

func killGroup(cmd *exec.Cmd) { signalGroup(cmd, syscall.SIGKILL) }

// signalGroup signals whatever is left of the group. There being nothing left is no error.
func signalGroup(cmd *exec.Cmd, signal syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, signal) }
