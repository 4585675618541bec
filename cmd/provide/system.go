package provide

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// interruptGrace is how long a command may take to end after it was told to.
const interruptGrace = 10 * time.Second

// Program finds a program on the machine. A superuser of a Debian has the packages
// installed that bring it; anybody else is told.
func (c *Cache) Program(ctx context.Context, name string, packages ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is not on this machine; install it and try again", name)
	}
	if err := c.aptInstall(ctx, apt, packages); err != nil {
		return "", err
	}
	return exec.LookPath(name)
}

// aptInstall refreshes the package lists only if they don't suffice: they may be
// missing on a new machine.
func (c *Cache) aptInstall(ctx context.Context, apt string, packages []string) (err error) {
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return err
	}
	unlock, err := Lock(ctx, filepath.Join(c.Dir, "apt.lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	install := func() error {
		args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)
		cmd := exec.CommandContext(ctx, apt, args...) //nolint:gosec // apt-get of the machine
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return Run(cmd)
	}
	if install() == nil {
		return nil
	}
	if err := Run(exec.CommandContext(ctx, apt, "update", "-qq")); err != nil {
		return err
	}
	return install()
}

// Run runs a command quietly; its error has the end of what it printed.
func Run(cmd *exec.Cmd) error {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(output.String(), 30))
	}
	return nil
}

// tail is the last n lines of text.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
