//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// replaceProcess becomes the command: signals and pipes are its own.
func replaceProcess(_ *environment, path string, args, variables []string) error {
	return syscall.Exec(path, args, variables) //nolint:gosec // the operator's configuration names it
}

func openToOthers(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }
