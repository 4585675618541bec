package provision

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

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// interruptGrace is how long a command may take to end after it was told to.
const interruptGrace = 10 * time.Second

// chromium is found on the machine, or installed as a package of its distribution.
func chromium(ctx context.Context, c *cache) (Env, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return Env{need.Chromium: path}, nil
		}
	}
	path, err := program(ctx, c, "chromium", "chromium")
	return Env{need.Chromium: path}, err
}

// program finds a program on the machine. A superuser of a Debian has the packages
// installed that bring it; anybody else is told.
func program(ctx context.Context, c *cache, name string, packages ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is not on this machine; install it and run the testbed again", name)
	}
	if err := aptInstall(ctx, c, apt, packages); err != nil {
		return "", err
	}
	return exec.LookPath(name)
}

// aptInstall refreshes the package lists only if they don't suffice: they may be
// missing on a new machine.
func aptInstall(ctx context.Context, c *cache, apt string, packages []string) (err error) {
	unlock, err := lock(ctx, filepath.Join(c.dir, "apt.lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	install := func() error {
		args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)
		cmd := exec.CommandContext(ctx, apt, args...) //nolint:gosec // apt-get of the machine
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return run(cmd)
	}
	if install() == nil {
		return nil
	}
	if err := run(exec.CommandContext(ctx, apt, "update", "-qq")); err != nil {
		return err
	}
	return install()
}

// run runs a command quietly; its error has the end of what it printed.
func run(cmd *exec.Cmd) error {
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
