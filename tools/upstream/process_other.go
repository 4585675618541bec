//go:build !unix

package upstream

import "os/exec"

// ownGroup does nothing where there are no process groups: only the process itself is ended.
func ownGroup(*exec.Cmd) {}

func terminateGroup(cmd *exec.Cmd) { killGroup(cmd) }

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() } // perhaps ended already
