//go:build !unix

package main

import (
	"errors"
	"io/fs"
	"os/exec"
)

// replaceProcess runs the command and ends as it does.
func replaceProcess(env *environment, path string, args, variables []string) error {
	cmd := exec.Command(path, args[1:]...) //nolint:gosec,noctx // the operator's configuration names it, and it lives as long as this process
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = variables, env.stdin, env.stdout, env.stderr
	err := cmd.Run()
	if exited, ok := errors.AsType[*exec.ExitError](err); ok {
		return silent(exited.ExitCode())
	}
	return err
}

// openToOthers is not told by the mode of a file on this system.
func openToOthers(fs.FileInfo) bool { return false }
