//go:build !unix

package provide

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

var errNotHere = errors.New("servers can't be run on this system: use Linux or macOS, or one that runs elsewhere")

func ownSession(*exec.Cmd) {}

func signalSession(int, syscall.Signal) error { return errNotHere }

func tryLock(*os.File) (bool, error) { return false, errNotHere }

func reap(int) {}
